//! Two nodes compare what they hold. What is asked and told is the protocol machine of `hanse-protocol`
//! over a byte stream of the mesh; the messages it travels in are the simulation's own.

use std::time::Duration;

use hanse_node::mesh::MeshStream;
use hanse_protocol::admission::By;
use hanse_protocol::frame::Carried;
use hanse_protocol::reconcile::{self, Asked, Need, Pass, Place, Span, Told};
use minicbor::{Decode, Encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::desk::Holdings;
use crate::run::Failure;
use crate::world::World;

/// How long a conversation may take, as the daemon gives it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes of one message, and of the records in one.
const MESSAGE: usize = 2 << 20;
const RECORDS: usize = 1 << 20;

/// Records asked for at once.
const BATCH: usize = 128;

/// A question.
#[derive(Debug, Encode, Decode)]
enum Ask {
    /// How do these spans compare?
    #[n(0)]
    Compare(#[n(0)] Vec<Asked>),
    /// Give me the records at these places.
    #[n(1)]
    Fetch(#[n(0)] Vec<Place>),
    /// Give me the first records of this span.
    #[n(2)]
    Page(#[n(0)] Span),
}

/// An answer.
#[derive(Debug, Encode, Decode)]
enum Answer {
    #[n(0)]
    Compared(#[n(0)] Vec<Told>),
    #[n(1)]
    Records(#[n(0)] Vec<Carried>),
}

/// One side of a conversation.
pub(crate) struct Talk<'a> {
    pub(crate) world: &'a World,
    pub(crate) own: usize,
    pub(crate) peer: usize,
    pub(crate) holdings: &'a Holdings,
}

impl Talk<'_> {
    /// Asks the peer for whatever it holds that we lack.
    pub(crate) async fn ask(&self, stream: MeshStream) -> Result<(), Failure> {
        tokio::time::timeout(PATIENCE, self.compare(stream)).await?
    }

    async fn compare(&self, mut stream: MeshStream) -> Result<(), Failure> {
        let key = &self.world.key;
        let mut pass = Pass::new(vec![Span::ALL]);
        while !pass.is_done() {
            let question = Ask::Compare(pass.question(&self.holdings.lock().shelf, key)?);
            send(&mut stream, &question).await?;
            let Answer::Compared(told) = receive(&mut stream).await? else {
                return Err("an answer to another question".into());
            };
            let needs = pass.answered(&self.holdings.lock().shelf, key, &told)??;
            let mut places = Vec::new();
            for need in needs {
                match need {
                    Need::Record(place) => places.push(place),
                    Need::Span(span, _) => self.fetch_span(&mut stream, span).await?,
                }
            }
            for batch in places.chunks(BATCH) {
                send(&mut stream, &Ask::Fetch(batch.to_vec())).await?;
                self.take(receive(&mut stream).await?)?;
            }
        }
        Ok(())
    }

    async fn fetch_span(&self, stream: &mut MeshStream, span: Span) -> Result<(), Failure> {
        let mut left = span;
        loop {
            send(stream, &Ask::Page(left)).await?;
            let Some(last) = self.take(receive(stream).await?)? else {
                return Ok(());
            };
            // Behind the last that came: its id is the place's last part, and ids have no successor that
            // is cheaper to name than the next instant's first.
            let next = Place::at(last.created.after(Duration::from_millis(1)));
            left.from = next.max(left.from);
            if left.from >= left.to {
                return Ok(());
            }
        }
    }

    /// Takes in records, and says where the last of them stands.
    fn take(&self, answer: Answer) -> Result<Option<Place>, Failure> {
        let Answer::Records(records) = answer else {
            return Err("an answer to another question".into());
        };
        let mut last = None;
        for record in records {
            let name = *blake3::hash(&record.header).as_bytes();
            if let Ok(verified) = self.world.verify(&name, &record.header) {
                let place = Place {
                    created: verified.claims().created,
                    id: *verified.id(),
                };
                last = last.max(Some(place));
            }
            self.holdings
                .arrive(self.world, self.own, self.peer, record, By::Healing);
        }
        Ok(last)
    }

    /// Answers until the peer has no more questions. One that lies says that it holds what is asked about
    /// and nothing else.
    pub(crate) async fn answer(&self, stream: MeshStream, lies: bool) -> Result<(), Failure> {
        tokio::time::timeout(PATIENCE, self.answers(stream, lies)).await?
    }

    async fn answers(&self, mut stream: MeshStream, lies: bool) -> Result<(), Failure> {
        loop {
            let answer = match receive(&mut stream).await? {
                Ask::Compare(asked) if lies => Answer::Compared(vec![Told::Same; asked.len()]),
                Ask::Compare(asked) => {
                    let told = reconcile::answer(&self.holdings.lock().shelf, &self.world.key, &asked)?;
                    Answer::Compared(told)
                }
                Ask::Fetch(places) => {
                    let held = self.holdings.lock();
                    let records = places.iter().take(BATCH).filter_map(|place| held.shelf.at(place));
                    Answer::Records(records.map(|record| Carried::clone(record)).collect())
                }
                Ask::Page(span) => Answer::Records(self.page(&span)),
            };
            send(&mut stream, &answer).await?;
        }
    }

    /// The first records of a span: whole instants, so that the next page begins with the next.
    fn page(&self, span: &Span) -> Vec<Carried> {
        let held = self.holdings.lock();
        let (mut bytes, mut last, mut records) = (0, None, Vec::new());
        for (place, record) in held.shelf.within(span) {
            if bytes > RECORDS && last != Some(place.created) {
                break;
            }
            bytes += record.header.len() + record.body.as_ref().map_or(0, Vec::len);
            last = Some(place.created);
            records.push(Carried::clone(record));
        }
        records
    }
}

async fn send<M: Encode<()>>(stream: &mut MeshStream, message: &M) -> Result<(), Failure> {
    let bytes = minicbor::to_vec(message)?;
    let mut framed = u32::try_from(bytes.len())?.to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await?;
    stream.flush().await?;
    Ok(())
}

async fn receive<M: for<'b> Decode<'b, ()>>(stream: &mut MeshStream) -> Result<M, Failure> {
    let length = stream.read_u32().await?;
    let length = usize::try_from(length)?;
    if length > MESSAGE {
        return Err("a message beyond all bounds".into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(minicbor::decode(&bytes)?)
}
