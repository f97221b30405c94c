//! The numbers of several registries as one text: a metric of all of them is told of once, and its samples
//! follow one another, as OpenMetrics wants it.

use std::collections::HashMap;

/// What ends a text (OpenMetrics 1.0, section "Overall Structure").
const END: &str = "# EOF\n";

/// A metric: what describes it, and its samples of every registry.
#[derive(Default)]
struct Family<'a> {
    described: Vec<&'a str>,
    samples: Vec<&'a str>,
}

/// One text of several. Metrics stand where they first stood.
pub fn merged(texts: &[String]) -> String {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for text in texts {
        let mut at = None;
        for line in text.split_inclusive('\n').filter(|line| *line != END) {
            if let Some(name) = described(line) {
                let place = *places.entry(name).or_insert_with(|| {
                    families.push(Family::default());
                    families.len() - 1
                });
                at = Some(place);
                if let Some(family) = families.get_mut(place)
                    && !family.described.contains(&line)
                {
                    family.described.push(line);
                }
            } else if let Some(family) = at.and_then(|at| families.get_mut(at)) {
                family.samples.push(line);
            }
        }
    }
    let lines = families
        .iter()
        .flat_map(|family| family.described.iter().chain(&family.samples));
    lines.copied().chain([END]).collect()
}

/// The metric that a line describes, if it is such a line.
fn described(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("# ")?.split_ascii_whitespace();
    matches!(words.next()?, "HELP" | "TYPE" | "UNIT").then(|| words.next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_two_communities_is_described_once() {
        let text = |community: &str, more: &str| {
            format!(
                "# HELP hanse_a How many.\n# TYPE hanse_a counter\nhanse_a_total{{community=\"{community}\"}} 1\n\
                 {more}# EOF\n"
            )
        };
        let other = "# HELP hanse_b More.\n# TYPE hanse_b gauge\nhanse_b{community=\"north\"} 2\n";
        let merged = merged(&[text("first", ""), text("north", other)]);
        assert_eq!(
            merged,
            format!(
                "# HELP hanse_a How many.\n# TYPE hanse_a counter\nhanse_a_total{{community=\"first\"}} 1\n\
                 hanse_a_total{{community=\"north\"}} 1\n{other}# EOF\n"
            )
        );
    }
}
