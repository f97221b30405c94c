//! One run: the league comes together, records are published while nodes come and go, and it is waited
//! until everybody has everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::community::Community;
use crate::desk::Holdings;
use crate::draws::Draws;
use crate::hostile::Malice;
use crate::member::{Member, Order};
use crate::outcome::{Outcome, Readings};
use crate::plan::Plan;
use crate::world::World;

/// Why a run could not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Orders a node may have waiting.
const ORDERS: usize = 1_024;

/// For how long before the first record it is measured what an idle league says.
const IDLE: Duration = Duration::from_secs(5);

/// How often it is looked whether everybody has everything.
const LOOK: Duration = Duration::from_millis(100);

/// How long copies may still be under way when everybody has everything.
const TAIL: Duration = Duration::from_secs(3);

/// How long a node that was killed stays away: between these.
const AWAY: (f64, f64) = (5.0, 20.0);

const PUBLISHERS: u64 = 5;
const MISHAPS: u64 = 6;

/// Simulates a plan, in virtual time and on this thread.
///
/// # Errors
/// If the plan contradicts itself, or a node could not start.
pub fn simulate(plan: &Plan) -> Result<Outcome, Failure> {
    if plan.honest() < 2 || plan.rate <= 0.0 || plan.bandwidth <= 0.0 || plan.settle <= IDLE {
        return Err(
            "a simulation needs two honest nodes, a rate, a bandwidth and time to come together".into(),
        );
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let mut league = League::found(plan)?;
        league.run().await
    })
}

/// Tells whoever waits how far it is.
fn say(what: &str) {
    eprintln!("{what}");
}

/// What happens at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Publish(usize),
    Kill(usize),
    Restart(usize),
}

/// A node's place, whether it lives or not.
#[derive(Default)]
struct Place {
    holdings: Holdings,
    lives: u64,
    life: Option<Life>,
}

struct Life {
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

impl Life {
    async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.task.await?
    }
}

struct League {
    plan: Plan,
    world: Arc<World>,
    places: Vec<Place>,
    /// Kept so that the membership stays as it is.
    _membership: watch::Sender<Arc<hanse_node::mesh::Membership>>,
}

impl League {
    fn found(plan: &Plan) -> Result<Self, Failure> {
        let community = Community::found(plan.nodes, plan.seed)?;
        let (_membership, membership) = watch::channel(Arc::clone(&community.membership));
        let world = Arc::new(World::new(plan, community, membership));
        let places = (0..plan.nodes).map(|_| Place::default()).collect();
        Ok(Self {
            plan: plan.clone(),
            world,
            places,
            _membership,
        })
    }

    async fn run(&mut self) -> Result<Outcome, Failure> {
        let (real, start) = (std::time::Instant::now(), Instant::now());
        let plan = self.plan.clone();
        // They come one after the other, within a third of the time to settle.
        for number in 0..plan.nodes {
            sleep_until(start + plan.settle.mul_f64(number as f64 / (3 * plan.nodes) as f64)).await;
            self.start(number);
        }
        sleep_until(start + plan.settle - IDLE).await;
        let quiet = self.world.network.bytes();
        sleep_until(start + plan.settle).await;
        let before = self.world.network.bytes();
        let idle_bytes = (before - quiet) as f64 / IDLE.as_secs_f64() / plan.nodes as f64;
        let links = self.links().await;
        say(&format!(
            "{} nodes have come together after {:.0} s",
            plan.nodes,
            real.elapsed().as_secs_f64()
        ));
        let first = Instant::now();
        for (when, event) in self.events() {
            sleep_until(first + when).await;
            self.happens(event).await?;
        }
        let last = Instant::now();
        say(&format!(
            "{} records are published after {:.0} s; {} are still missing somewhere",
            plan.messages,
            real.elapsed().as_secs_f64(),
            self.world.ledger().missing()
        ));
        while self.world.ledger().missing() > 0 && last.elapsed() < plan.patience {
            sleep(LOOK).await;
        }
        let took = first.elapsed();
        let bytes = self.world.network.bytes() - before;
        sleep(TAIL).await;
        self.stop().await?;
        let readings = Readings {
            links,
            bytes,
            idle_bytes,
            took,
            real: real.elapsed(),
        };
        let (ledger, meters) = (self.world.ledger(), self.world.meters());
        Ok(Outcome::of(&plan, &ledger, &meters, readings))
    }

    fn start(&mut self, number: usize) {
        let hostile = number.checked_sub(self.plan.honest());
        let Some(place) = self.places.get_mut(number) else {
            return;
        };
        let (orders, given) = mpsc::channel(ORDERS);
        let stop = CancellationToken::new();
        let member = Member {
            world: Arc::clone(&self.world),
            number,
            holdings: place.holdings.clone(),
            malice: hostile.map(Malice::of),
            life: place.lives,
        };
        place.lives += 1;
        let task = tokio::spawn(Arc::new(member).live(given, stop.clone()));
        place.life = Some(Life { orders, stop, task });
    }

    /// Everything that happens, in the order of time.
    fn events(&self) -> Vec<(Duration, Event)> {
        let plan = &self.plan;
        let mut publishers = Draws::of(plan.seed, &[PUBLISHERS]);
        let mut events: Vec<_> = (0..plan.messages)
            .map(|number| (plan.when(number), Event::Publish(publishers.below(plan.honest()))))
            .collect();
        let span = plan.when(plan.messages);
        for number in 0..plan.honest() {
            let mut mishaps = Draws::of(plan.seed, &[MISHAPS, number as u64]);
            if mishaps.happens(plan.churn) {
                let killed = span.mul_f64(mishaps.unit());
                let away = AWAY.0 + (AWAY.1 - AWAY.0) * mishaps.unit();
                events.push((killed, Event::Kill(number)));
                events.push((killed + Duration::from_secs_f64(away), Event::Restart(number)));
            }
        }
        events.sort();
        events
    }

    async fn happens(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Publish(drawn) => {
                // In the place of one that is away its neighbour speaks.
                let honest = self.plan.honest();
                let mut in_turn = (0..honest).map(|step| (drawn + step) % honest);
                let lives =
                    |number: &usize| self.places.get(*number).is_some_and(|place| place.life.is_some());
                let life = in_turn
                    .find(lives)
                    .and_then(|number| self.places.get(number)?.life.as_ref());
                let life = life.ok_or("nobody is left to publish")?;
                life.orders.send(Order::Publish).await?;
            }
            Event::Kill(number) => {
                let life = self.places.get_mut(number).and_then(|place| place.life.take());
                if let Some(life) = life {
                    life.end().await?;
                }
            }
            Event::Restart(number) => self.start(number),
        }
        Ok(())
    }

    /// Links and gossip neighbours of the honest.
    async fn links(&self) -> Vec<(usize, usize)> {
        let mut links = Vec::new();
        let honest = self.places.iter().take(self.plan.honest());
        for life in honest.filter_map(|place| place.life.as_ref()) {
            let (reply, told) = oneshot::channel();
            if life.orders.send(Order::Links(reply)).await.is_ok()
                && let Ok(told) = told.await
            {
                links.push(told);
            }
        }
        links
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        let lives: Vec<Life> = self
            .places
            .iter_mut()
            .filter_map(|place| place.life.take())
            .collect();
        for life in &lives {
            life.stop.cancel();
        }
        for life in lives {
            life.end().await?;
        }
        Ok(())
    }
}
