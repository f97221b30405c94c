//! The long run over the decoders: seeded mutations of the corpora, throughput and peak memory.
//! Inputs that crash a target are left under `tests/fuzz/crashes/`; each is to become a seed.

use std::process::ExitCode;
use std::{env, fs, panic};

use hanse_tests::fuzz::mutation::hammer;
use hanse_tests::fuzz::{TARGETS, corpora, corpus};

const USAGE: &str = "usage: mutate [--inputs N] [--seed S] [--target NAME]";

struct Wanted {
    inputs: u64,
    seed: u64,
    target: Option<String>,
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted {
        inputs: 1_000_000,
        seed: 1,
        target: None,
    };
    let arguments: Vec<String> = env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return None };
        match option.as_str() {
            "--inputs" => wanted.inputs = value.parse().ok()?,
            "--seed" => wanted.seed = value.parse().ok()?,
            "--target" => wanted.target = Some(value.clone()),
            _ => return None,
        }
    }
    Some(wanted)
}

/// The process's largest resident size since it was last forgotten, MiB; none but on Linux.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1_024)
}

fn main() -> ExitCode {
    let Some(wanted) = wanted() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let chosen = |name: &str| wanted.target.as_deref().is_none_or(|target| target == name);
    let targets: Vec<_> = TARGETS.iter().filter(|target| chosen(target.name)).collect();
    let shares: f64 = targets.iter().map(|target| 1.0 / target.rarity as f64).sum();
    panic::set_hook(Box::new(|_| ()));
    println!(
        "{:17} {:>10} {:>10} {:>9} {:>11} {:>9}",
        "target", "inputs", "inputs/s", "MB/s", "slowest µs", "peak MiB"
    );
    let (mut inputs, mut crashed) = (0, 0);
    for target in targets {
        let share = (wanted.inputs as f64 / shares / target.rarity as f64).ceil() as u64;
        // Forgets the largest size so far (proc(5)); where that is not to be had, peaks only rise.
        drop(fs::write("/proc/self/clear_refs", "5"));
        let fed = hammer(target, &corpus(target), share, wanted.seed);
        let seconds = fed.took.as_secs_f64();
        let peak = peak().map_or_else(|| "?".to_owned(), |peak| peak.to_string());
        println!(
            "{:17} {:>10} {:>10.0} {:>9.1} {:>11} {:>9}",
            target.name,
            fed.inputs,
            fed.inputs as f64 / seconds,
            fed.bytes as f64 / seconds / 1e6,
            fed.slowest.as_micros(),
            peak
        );
        inputs += fed.inputs;
        for (number, crash) in fed.crashes.iter().enumerate() {
            let folder = corpora().with_file_name("crashes");
            fs::create_dir_all(&folder).expect("a folder");
            let path = folder.join(format!("{}-{}-{number}", target.name, wanted.seed));
            fs::write(&path, crash).expect("written");
            println!("  CRASH: {}", path.display());
            crashed += 1;
        }
    }
    println!("{inputs} inputs from seed {}, {crashed} crashes", wanted.seed);
    if crashed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
