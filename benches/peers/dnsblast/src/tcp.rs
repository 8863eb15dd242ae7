//! The same question over kept connections, a block of queries written to each before its replies are read.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Queries that are on their way on one connection.
const PIPELINED: usize = 64;

pub fn run(server: SocketAddr, name: &str, label: &str, connections: usize, (warm, dur): (f64, f64), pids: &dyn Fn() -> Vec<i32>) {
    let mut query: Vec<u8> = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for l in name.split('.') {
        query.push(l.len() as u8);
        query.extend_from_slice(l.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let octets = (query.len() - 2) as u16;
    query[..2].copy_from_slice(&octets.to_be_bytes());
    let block = query.repeat(PIPELINED);
    let mut streams: Vec<TcpStream> = (0..connections).map(|_| TcpStream::connect(server).unwrap()).collect();
    for s in &streams {
        s.set_nodelay(true).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    }
    let mut buffer = vec![0; 1 << 16];
    let (mut measured, mut recv, mut empty) = (false, 0u64, 0u64);
    let (mut start, mut c0, mut waits) = (Instant::now(), (0, 0, 0), Vec::new());
    loop {
        if !measured && start.elapsed().as_secs_f64() > warm {
            (measured, recv, empty, start, c0) = (true, 0, 0, Instant::now(), super::cpu(&pids()));
            waits.clear();
        }
        if measured && start.elapsed().as_secs_f64() > dur {
            break;
        }
        let sent = Instant::now();
        streams.iter_mut().for_each(|s| s.write_all(&block).unwrap());
        for s in &mut streams {
            let (mut have, mut replies) = (0, 0);
            while replies < PIPELINED {
                let got = s.read(&mut buffer[have..]).unwrap();
                assert!(got > 0, "the server closed a connection");
                have += got;
                let mut at = 0;
                while have - at > 2 && have - at >= 2 + usize::from(u16::from_be_bytes([buffer[at], buffer[at + 1]])) {
                    let length = usize::from(u16::from_be_bytes([buffer[at], buffer[at + 1]]));
                    empty += u64::from(buffer[at + 2 + 7] == 0);
                    at += 2 + length;
                    replies += 1;
                }
                buffer.copy_within(at..have, 0);
                have -= at;
            }
            recv += replies as u64;
            waits.push(sent.elapsed().as_micros() as u64);
        }
    }
    let (el, c1, r) = (start.elapsed().as_secs_f64(), super::cpu(&pids()), recv.max(1) as f64);
    waits.sort_unstable();
    let wait = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or(0);
    let tot = (c1.0 - c0.0) as f64 / 1000.0 / r;
    let (ut, st) = ((c1.1 - c0.1) as f64, (c1.2 - c0.2) as f64);
    let uf = if ut + st > 0.0 { ut / (ut + st) } else { 0.0 };
    println!(
        "{{\"label\":\"{label}\",\"workload\":\"tcp\",\"secs\":{el:.3},\"recv\":{recv},\"qps\":{:.0},\"lost\":0,\"bad\":0,\"empty\":{empty},\"mismatch\":0,\"p50_us\":{},\"p99_us\":{},\"srv_cpu_us\":{tot:.4},\"srv_user_us\":{:.4},\"srv_sys_us\":{:.4}}}",
        r / el, wait(0.5), wait(0.99), tot * uf, tot * (1.0 - uf)
    );
}
