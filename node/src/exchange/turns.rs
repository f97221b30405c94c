//! The two queues of the exchange, and whose turn it is.

use tokio::sync::mpsc;

use super::{Command, DESK, INBOX};

/// Where peers' work goes, where ours goes, and both.
pub(super) fn queues() -> (mpsc::Sender<Command>, mpsc::Sender<Command>, Work) {
    let (inbox, from_mesh) = mpsc::channel(INBOX);
    let (desk, from_here) = mpsc::channel(DESK);
    let work = Work {
        from_here,
        from_mesh,
        here_next: true,
    };
    (inbox, desk, work)
}

/// What waits to be done: what is asked here, by callers who wait, and what peers bring. They take
/// turns, so that neither waits behind all of the other.
pub(super) struct Work {
    from_here: mpsc::Receiver<Command>,
    from_mesh: mpsc::Receiver<Command>,
    here_next: bool,
}

impl Work {
    /// What is next; waits for it. `None` if nobody is left who could ask.
    pub(super) async fn next(&mut self) -> Option<Command> {
        if let Some(ready) = self.ready() {
            return Some(ready);
        }
        tokio::select! {
            Some(command) = self.from_here.recv() => Some(command),
            Some(command) = self.from_mesh.recv() => Some(command),
            else => None,
        }
    }

    /// What is next, if anything is ready.
    pub(super) fn ready(&mut self) -> Option<Command> {
        self.here_next = !self.here_next;
        let (first, second) = if self.here_next {
            (&mut self.from_mesh, &mut self.from_here)
        } else {
            (&mut self.from_here, &mut self.from_mesh)
        };
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked here does not wait behind all that peers brought, nor they behind all of it.
    #[tokio::test]
    async fn a_publish_does_not_wait_behind_a_flood() {
        let (mesh, desk, mut work) = queues();
        let note = || Command::Note {
            kind: String::new(),
            bytes: Vec::new(),
        };
        let compared = || Command::Compared {
            peer: hanse_protocol::identity::NodeId([0; 32]),
            whole: false,
            connected: Vec::new(),
        };
        for _ in 0..INBOX {
            assert!(mesh.try_send(note()).is_ok());
        }
        for _ in 0..3 {
            assert!(desk.try_send(compared()).is_ok());
        }
        let mut order = Vec::new();
        while let Some(command) = work.ready() {
            order.push(matches!(command, Command::Compared { .. }));
        }
        assert_eq!(order.len(), INBOX + 3);
        assert_eq!(order.iter().rposition(|here| *here), Some(4));
        drop(desk);
        assert!(mesh.try_send(note()).is_ok());
        assert!(work.next().await.is_some());
        drop(mesh);
        assert!(work.next().await.is_none());
    }
}
