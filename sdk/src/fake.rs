//! For tests: a node that answers as it is told, over real HTTP on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A token that has the form of one.
pub(crate) const TOKEN: &str = "hanse_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) body: String,
}

/// The status and body of an answer.
pub(crate) type Answer = (u16, String);

pub(crate) struct Fake {
    pub(crate) api: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                std::thread::spawn(move || serve(stream.unwrap(), answer.as_ref(), &noted));
            }
        });
        Self { api, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answer: &(impl Fn(&Asked) -> Answer + ?Sized), noted: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let Some(first) = head.first() else { return };
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    assert_eq!(header("authorization"), Some(format!("Bearer {TOKEN}")));
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = Asked {
        line,
        body: String::from_utf8(body).unwrap(),
    };
    noted.lock().unwrap().push(asked.clone());
    let (status, body) = answer(&asked);
    let reply = format!(
        "HTTP/1.1 {status} X\r\nretry-after: 0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    reader.get_mut().write_all(reply.as_bytes()).unwrap();
}

/// The body of a problem.
pub(crate) fn problem(name: &str, status: u16) -> Answer {
    let body = format!(
        r#"{{"type":"urn:hanse:problem:{name}","title":"t","status":{status},"detail":"the detail"}}"#
    );
    (status, body)
}
