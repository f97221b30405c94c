//! Answers of healing that are not so: digests of nothing, parts without an end, ids that cannot be
//! served, promises to go on, noise, and bytes that drip.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hanse_node::mesh::MeshStream;
use hanse_protocol::heal::{self, Answer, Question};
use hanse_protocol::identity::RecordId;
use hanse_protocol::reconcile::{Asked, Digest, Key, Part, Place, Span, Sum, Told};
use hanse_protocol::timestamp::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Tally;
use crate::dice::Dice;

/// Largest question that is read, bytes.
const LARGEST: usize = heal::QUESTION * 2;

/// What passes between two bytes that drip, and between two answers without an end.
const DRIP: Duration = Duration::from_millis(100);

/// Ids of one lie.
const INVENTED: usize = 20;

/// Answers every question of a stream, until the other side has enough.
pub(super) async fn lie(mut stream: MeshStream, tally: &Tally, mut dice: Dice) -> std::io::Result<()> {
    loop {
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Ok(());
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        tally.answers.fetch_add(1, Ordering::Relaxed);
        match (dice.below(8), heal::decode::<Question>(&bytes)) {
            // The question is its own answer.
            (0, _) | (_, Err(_)) => say(&mut stream, &bytes).await?,
            // No message at all, of a length that could be one.
            (1, _) => {
                let length = dice.between(1, 4_096);
                say(&mut stream, &noise(length, &mut dice)).await?;
            }
            // A long answer is announced and comes a byte at a time.
            (2, _) => {
                stream.write_u32(200_000).await?;
                loop {
                    stream.write_all(&noise(1, &mut dice)).await?;
                    stream.flush().await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            (_, Ok(question)) => answer(&mut stream, question, &mut dice).await?,
        }
    }
}

/// A well-formed answer to the question, and not a word of it true.
async fn answer(stream: &mut MeshStream, question: Question, dice: &mut Dice) -> std::io::Result<()> {
    let answer = match question {
        Question::Compare(_, _, asked) => {
            Answer::Compared(asked.iter().map(|asked| told(asked, dice)).collect())
        }
        // What it said it had it has not; or there is no end of nothing.
        Question::Records(..) if dice.below(2) == 0 => Answer::End(None),
        Question::Records(..) => loop {
            say(stream, &heal::encode(&Answer::Records(Vec::new()))).await?;
            tokio::time::sleep(DRIP).await;
        },
        // There is always more.
        Question::Span(_, span) => Answer::End(Some(span.to)),
        Question::Body(_) if dice.below(2) == 0 => Answer::NotHeld,
        Question::Body(_) => Answer::Body(noise(500, dice)),
        Question::Nonce(_) => Answer::Nonce([7; 32]),
    };
    say(stream, &heal::encode(&answer)).await
}

fn told(asked: &Asked, dice: &mut Dice) -> Told {
    let Span { from, to } = asked.span;
    let (first, last) = (from.created.as_millis(), to.created.as_millis());
    let middle = first + last.saturating_sub(first) / 2;
    match dice.below(3) {
        0 => Told::Same,
        1 => {
            let mut places: Vec<Place> = (0..INVENTED).map(|_| place(middle, dice)).collect();
            places.sort_unstable();
            Told::Places(places)
        }
        // More than it lists, and other than it is held: down and down.
        _ => {
            let cut = Place::at(Timestamp::from_millis(middle));
            let part = |to, dice: &mut Dice| Part {
                to,
                count: dice.number() >> 40,
                digest: digest(dice),
            };
            Told::Parts(vec![part(cut, dice), part(to, dice)])
        }
    }
}

fn place(millis: u64, dice: &mut Dice) -> Place {
    let mut id = [0; 32];
    for eight in id.as_chunks_mut::<8>().0 {
        *eight = dice.number().to_be_bytes();
    }
    Place {
        created: Timestamp::from_millis(millis),
        id: RecordId(id),
    }
}

/// The digest of something that nobody holds.
fn digest(dice: &mut Dice) -> Digest {
    let place = place(dice.number() >> 24, dice);
    let key = Key::of_pass(&place.id.0, &place.id.0);
    Sum::of(&key, &place).digest(&key)
}

fn noise(length: usize, dice: &mut Dice) -> Vec<u8> {
    let byte = |_| u8::try_from(dice.below(256)).unwrap_or_default();
    (0..length).map(byte).collect()
}

async fn say(stream: &mut MeshStream, bytes: &[u8]) -> std::io::Result<()> {
    stream
        .write_u32(u32::try_from(bytes.len()).unwrap_or_default())
        .await?;
    stream.write_all(bytes).await?;
    stream.flush().await
}
