//! What a hostile member does of its own accord.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hanse_node::mesh::Publish;
use hanse_protocol::heal::{self, Question};
use hanse_protocol::reconcile::Span;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::super::scenario::Does;
use super::forging::Chain;
use super::{World, ears};
use crate::dice::Dice;

/// Streams that a slow reader holds open.
const STREAMS: usize = 24;

/// What passes between two questions on one of them.
const ASKS: Duration = Duration::from_secs(1);

/// What passes before it comes back after a link or stream was closed.
const AGAIN: Duration = Duration::from_millis(100);

/// Does it until dropped.
pub(super) async fn does(does: Does, world: World, rate: f64, dice: Dice) {
    match does {
        Does::Forger | Does::Replayer | Does::Flooder => gossip(does, &world, rate, dice).await,
        Does::SlowReader => ask_and_not_read(&world, dice).await,
        Does::Withholder | Does::Liar => {}
    }
}

async fn gossip(does: Does, world: &World, rate: f64, mut dice: Dice) {
    let mut chain = Chain::default();
    let mut tick = interval(Duration::from_secs_f64(1.0 / rate.max(0.001)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tick.tick().await;
        let frame = match does {
            Does::Replayer => ears::one_of(&world.heard, &mut dice).map(|heard| match dice.below(2) {
                0 => heard,
                _ => world.in_new_clothes(heard, &mut dice),
            }),
            Does::Flooder if dice.below(4) > 0 => world.true_record(&mut chain, &mut dice),
            _ => world.forgery(&mut dice),
        };
        let Some(frame) = frame else { continue };
        // It may have been hung up on, and comes back.
        if matches!(world.mesh.publish(frame).await, Ok(Publish::Taken)) {
            world.tally.frames.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn ask_and_not_read(world: &World, mut dice: Dice) {
    let everything = Question::Span(world.charters.newest().reference(), Span::ALL);
    let question = heal::encode(&everything);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (mesh, question) = (world.mesh.clone(), question.clone());
        let Some(host) = world.hosts.get(dice.below(world.hosts.len())).copied() else {
            return;
        };
        let tally = std::sync::Arc::clone(&world.tally);
        streams.spawn(async move {
            loop {
                if let Ok(mut stream) = mesh.open_stream(host).await {
                    tally.streams.fetch_add(1, Ordering::Relaxed);
                    let length = u32::try_from(question.len()).unwrap_or_default();
                    while stream.write_u32(length).await.is_ok()
                        && stream.write_all(&question).await.is_ok()
                        && stream.flush().await.is_ok()
                    {
                        tokio::time::sleep(ASKS).await;
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    while streams.join_next().await.is_some() {}
}
