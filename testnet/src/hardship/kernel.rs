//! Packets that the kernel itself treats badly: the whole run in a network namespace of its own whose
//! loopback has a queueing discipline, which needs no rights but what not every machine allows.

use std::process::{Command, ExitStatus, Stdio};

use super::scenario::Scenario;

/// Tells a process that it runs in such a namespace.
const WITHIN: &str = "HANSE_TESTNET_NETEM";

/// Why a scenario's `netem` was skipped, if it has one and it was.
pub(super) fn skipped(scenario: &Scenario) -> Option<String> {
    let netem = scenario.netem.as_ref()?;
    match std::env::var(WITHIN) {
        Ok(said) if said == "on" => None,
        Ok(why) => Some(format!("`tc netem {netem}` was skipped: {why}")),
        Err(_) => Some(format!("`tc netem {netem}` was skipped: it was not tried")),
    }
}

/// Runs this very command once more in a network namespace whose loopback does what the scenario's
/// `netem` says. `None` if the scenario has none, or this process is that one already. Where it is not
/// allowed the command runs without, and is told why.
///
/// # Errors
/// What the system says of starting this program again.
pub fn again_within(scenario: &Scenario) -> std::io::Result<Option<ExitStatus>> {
    let Some(netem) = &scenario.netem else {
        return Ok(None);
    };
    if std::env::var_os(WITHIN).is_some() {
        return Ok(None);
    }
    let prepare = format!(
        "ip link set lo up && tc qdisc add dev lo root netem {}",
        spelt(netem)
    );
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script, "sh"]);
        command.stdin(Stdio::null());
        command
    };
    let tried = unshare(&prepare).output();
    let why = match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .chars()
                .take(200)
                .collect(),
        ),
        Err(error) => Some(error.to_string()),
    };
    let program = std::env::current_exe()?;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut command = match &why {
        None => {
            let mut command = unshare(&format!("{prepare} && exec \"$@\""));
            command.arg(program).env(WITHIN, "on");
            command
        }
        Some(why) => {
            let mut command = Command::new(program);
            let why: &String = why;
            command.env(WITHIN, why);
            command
        }
    };
    command.args(arguments).status().map(Some)
}

/// Only what `netem` is written with: the text goes through a shell.
fn spelt(netem: &str) -> String {
    let allowed = |letter: &char| letter.is_ascii_alphanumeric() || " .%".contains(*letter);
    netem.chars().filter(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_scenario_speaks_to_the_shell() {
        assert_eq!(spelt("delay 10ms 5ms loss 1.5%"), "delay 10ms 5ms loss 1.5%");
        assert_eq!(
            spelt("loss 1%; rm -rf $HOME | `true` && x"),
            "loss 1% rm rf HOME  true  x"
        );
    }
}
