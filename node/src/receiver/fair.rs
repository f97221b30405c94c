//! Whose frame is next: a queue a courier, each bounded, served in turn by bytes, so that one that
//! sends without pause delays nobody but itself. No I/O.

use std::collections::{HashMap, VecDeque};

use hanse_protocol::identity::NodeId;

/// Frames of one courier that may wait, and their bytes.
const OF_ONE: usize = 64;
const OF_ONE_BYTES: usize = 2 << 20;

/// Frames of all couriers that may wait. Under the mesh's own bound, so that there it is never full
/// for the one while another floods.
const OF_ALL: usize = 512;

/// Bytes that a courier may bring in its turn; what it leaves is added to its next.
const TURN: usize = 32 << 10;

/// What waits, by courier.
pub struct Fair<T> {
    queues: HashMap<NodeId, Queue<T>>,
    /// Couriers with something waiting, the next first.
    turns: VecDeque<NodeId>,
    waiting: usize,
}

struct Queue<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    credit: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            credit: 0,
        }
    }
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> Fair<T> {
    /// Adds what a courier brought, and gives back what finds no room: the thing itself if its courier
    /// has too much waiting, or the last of whoever has most.
    pub fn push(&mut self, courier: NodeId, bytes: usize, item: T) -> Option<T> {
        let own = self.queues.get(&courier);
        let (length, waiting) = own.map_or((0, 0), |queue| (queue.items.len(), queue.bytes));
        if length >= OF_ONE || waiting.saturating_add(bytes) > OF_ONE_BYTES {
            return Some(item);
        }
        let mut evicted = None;
        if self.waiting >= OF_ALL {
            let longest = self.queues.iter().max_by_key(|(_, queue)| queue.items.len());
            match longest {
                Some((other, queue)) if queue.items.len() > length + 1 => {
                    evicted = self.take_last(*other);
                }
                _ => return Some(item),
            }
        }
        let queue = self.queues.entry(courier).or_default();
        if queue.items.is_empty() {
            self.turns.push_back(courier);
        }
        queue.items.push_back((bytes, item));
        queue.bytes += bytes;
        self.waiting += 1;
        evicted
    }

    fn take_last(&mut self, courier: NodeId) -> Option<T> {
        let queue = self.queues.get_mut(&courier)?;
        let (bytes, item) = queue.items.pop_back()?;
        queue.bytes -= bytes;
        self.waiting -= 1;
        Some(item)
    }

    /// What is next, and who brought it.
    pub fn take(&mut self) -> Option<(NodeId, T)> {
        loop {
            let courier = self.turns.pop_front()?;
            let Some(queue) = self.queues.get_mut(&courier) else {
                continue;
            };
            let Some((bytes, _)) = queue.items.front() else {
                self.queues.remove(&courier);
                continue;
            };
            if queue.credit < *bytes {
                queue.credit += TURN;
                self.turns.push_back(courier);
                continue;
            }
            let Some((bytes, item)) = queue.items.pop_front() else {
                continue;
            };
            queue.credit -= bytes;
            queue.bytes -= bytes;
            self.waiting -= 1;
            if queue.items.is_empty() {
                // Credit is not saved up for later.
                self.queues.remove(&courier);
            } else {
                self.turns.push_front(courier);
            }
            return Some((courier, item));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn courier(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn a_flood_of_one_does_not_delay_the_frame_of_another() {
        let mut fair = Fair::default();
        let turned_away = (0..10_000)
            .filter_map(|n| fair.push(courier(1), 30_000, n))
            .count();
        assert_eq!(turned_away, 10_000 - OF_ONE);
        assert_eq!(fair.push(courier(2), 30_000, 77_777), None);
        let place = std::iter::from_fn(|| fair.take()).position(|(_, item)| item == 77_777);
        assert!(place.is_some_and(|place| place <= 2), "it came at {place:?}");
    }

    #[test]
    fn small_frames_do_not_wait_for_as_many_large_ones() {
        let mut fair = Fair::default();
        for n in 0..10 {
            fair.push(courier(1), 128 << 10, n);
            fair.push(courier(2), 300, 100 + n);
        }
        let order: Vec<u32> = std::iter::from_fn(|| fair.take()).map(|(_, item)| item).collect();
        let small = order.iter().rposition(|item| *item >= 100).unwrap();
        assert!(small <= 11, "{order:?}");
    }

    #[test]
    fn many_that_flood_leave_room_for_one_that_does_not() {
        let mut fair = Fair::default();
        for number in 1..=20 {
            for n in 0..100 {
                fair.push(courier(number), 100, n);
            }
        }
        assert_eq!(fair.waiting, OF_ALL);
        assert!(
            fair.push(courier(99), 100, 7_777)
                .is_some_and(|evicted| evicted != 7_777)
        );
        let place = std::iter::from_fn(|| fair.take()).position(|(_, item)| item == 7_777);
        assert!(place.is_some(), "it was evicted itself");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn everything_comes_out_once_and_in_its_couriers_order(
            pushed in prop::collection::vec((0u8..5, 1usize..140_000), 0..300),
        ) {
            let mut fair = Fair::default();
            let mut expected: HashMap<u8, Vec<usize>> = HashMap::new();
            for (number, (who, bytes)) in pushed.into_iter().enumerate() {
                expected.entry(who).or_default().push(number);
                if let Some((who, number)) = fair.push(courier(who), bytes, (who, number)) {
                    expected.get_mut(&who).unwrap().retain(|kept| *kept != number);
                }
            }
            let mut came: HashMap<u8, Vec<usize>> = HashMap::new();
            while let Some((_, (who, number))) = fair.take() {
                came.entry(who).or_default().push(number);
            }
            expected.retain(|_, numbers| !numbers.is_empty());
            prop_assert_eq!(came, expected);
            prop_assert_eq!(fair.waiting, 0);
            prop_assert!(fair.queues.is_empty() && fair.turns.is_empty());
        }
    }
}
