//! A message that comes in piece by piece, as on the streams of QUIC and HTTP: short ones side by side, long ones of a connection one after the
//! other, so that a connection holds little of what it has not said to its end. It reads nothing by itself and knows no transport.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Octets that each message under way may hold. The queries of all clients are shorter, padding included.
const SHORT_OCTETS: usize = 4_096;

/// The turn of the long messages of a connection.
#[derive(Debug)]
pub(super) struct Turn(Semaphore);

/// More has come than may come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What there is of a message.
#[derive(Debug)]
pub(super) struct Intake<'t> {
    octets: Vec<u8>,
    longest: usize,
    turn: &'t Turn,
    permit: Option<SemaphorePermit<'t>>,
}

impl Turn {
    pub(super) fn new() -> Turn {
        Turn(Semaphore::new(1))
    }

    /// For a message of so many octets at most.
    pub(super) fn intake(&self, longest: usize) -> Intake<'_> {
        Intake { octets: Vec::new(), longest, turn: self, permit: None }
    }
}

impl Intake<'_> {
    /// Takes what has come; a message that gets long waits for its turn first, while flow control holds its sender back.
    pub(super) async fn take(&mut self, part: &[u8]) -> Result<(), TooLong> {
        let octets = self.octets.len() + part.len();
        if octets > self.longest {
            return Err(TooLong);
        }
        if octets > SHORT_OCTETS && self.permit.is_none() {
            // It is never closed.
            self.permit = self.turn.0.acquire().await.ok();
        }
        self.octets.extend_from_slice(part);
        Ok(())
    }

    /// The message, which is over with this.
    pub(super) fn whole(self) -> Vec<u8> {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn short_messages_wait_for_nobody_and_long_ones_for_each_other() {
        let turn = Turn::new();
        let (mut long, mut other, mut short) = (turn.intake(65_535), turn.intake(65_535), turn.intake(65_535));
        for part in [vec![1; SHORT_OCTETS], vec![2]] {
            assert_eq!(poll(long.take(&part)), Poll::Ready(Ok(())));
        }
        assert_eq!(poll(other.take(&[3; SHORT_OCTETS])), Poll::Ready(Ok(())));
        assert_eq!(poll(other.take(&[3])), Poll::Pending);
        assert_eq!(poll(short.take(&[4; 600])), Poll::Ready(Ok(())));
        assert_eq!(long.whole().len(), SHORT_OCTETS + 1);
        assert_eq!(poll(other.take(&[3])), Poll::Ready(Ok(())), "its turn has come");
        assert_eq!((other.whole().len(), short.whole()), (SHORT_OCTETS + 1, vec![4; 600]));
    }

    #[test]
    fn what_is_too_long_is_not_taken() {
        let turn = Turn::new();
        let mut intake = turn.intake(10);
        assert_eq!(poll(intake.take(&[0; 10])), Poll::Ready(Ok(())));
        assert_eq!(poll(intake.take(&[0])), Poll::Ready(Err(TooLong)));
    }
}
