//! Streams of HTTP/3 that end when a client has sent more on one than there can be to say.
//! h3 keeps a frame until it is whole, however long it says to be, and flow control lets the next octets come; here is where that ends.

use std::task::{Context, Poll, ready};

use h3::error::Code;
use h3::quic::{ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming, StreamId, WriteBuf};
use hyper::body::Buf;

/// A request: the longest message, the longest head, and room for frames that mean nothing.
pub(super) const REQUEST_OCTETS: usize = 128 << 10;

/// A stream that lasts as long as its connection: settings, and a priority for each of some thousand requests.
pub(super) const CONTROL_OCTETS: usize = 64 << 10;

/// A connection, or what opens its streams, where no stream brings more than its bound.
pub(super) struct Bounded<C>(pub(super) C);

/// A stream that brings so many more octets.
pub(super) struct Capped<S> {
    stream: S,
    left: usize,
}

impl<S> Capped<S> {
    fn request(stream: S) -> Capped<S> {
        Capped { stream, left: REQUEST_OCTETS }
    }

    fn control(stream: S) -> Capped<S> {
        Capped { stream, left: CONTROL_OCTETS }
    }
}

impl<S: RecvStream> RecvStream for Capped<S> {
    type Buf = S::Buf;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<S::Buf>, StreamErrorIncoming>> {
        let data = ready!(self.stream.poll_data(context))?;
        let Some(left) = self.left.checked_sub(data.as_ref().map_or(0, Buf::remaining)) else {
            let error_code = Code::H3_EXCESSIVE_LOAD.value();
            self.stream.stop_sending(error_code);
            return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code }));
        };
        self.left = left;
        Poll::Ready(Ok(data))
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.stream.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.stream.recv_id()
    }
}

impl<B: Buf, S: SendStream<B>> SendStream<B> for Capped<S> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.stream.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.stream.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.stream.poll_finish(context)
    }

    fn reset(&mut self, reset_code: u64) {
        self.stream.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.stream.send_id()
    }
}

impl<B: Buf, C: OpenStreams<B>> OpenStreams<B> for Bounded<C> {
    type BidiStream = Capped<C::BidiStream>;
    type SendStream = C::SendStream;

    fn poll_open_bidi(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.0.poll_open_bidi(context).map_ok(Capped::request)
    }

    fn poll_open_send(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.0.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.0.close(code, reason);
    }
}

impl<B: Buf, C: h3::quic::Connection<B>> h3::quic::Connection<B> for Bounded<C> {
    type RecvStream = Capped<C::RecvStream>;
    type OpenStreams = Bounded<C::OpenStreams>;

    fn poll_accept_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        self.0.poll_accept_recv(context).map_ok(Capped::control)
    }

    fn poll_accept_bidi(&mut self, context: &mut Context<'_>) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        self.0.poll_accept_bidi(context).map_ok(Capped::request)
    }

    fn opener(&self) -> Self::OpenStreams {
        Bounded(self.0.opener())
    }
}
