//! Ten thousand schedules, each from a seed.
//!
//! A run that breaks a promise prints its seed; `SIGYN_SIMULATION_SEED` runs that one alone, and
//! `SIGYN_SIMULATION_RUNS` another number of them.

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use simulation::schedule::{Told, run};

    const RUNS: u64 = 10_000;

    #[expect(clippy::disallowed_methods, reason = "no configuration reaches a test")]
    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok()?.parse().ok()
    }

    fn run_or_tell(seed: u64) -> Told {
        match run(seed) {
            Ok(told) => told,
            Err(broken) => panic!("SIGYN_SIMULATION_SEED={seed}: {broken}"),
        }
    }

    #[test]
    fn promises_hold_in_every_schedule() {
        if let Some(seed) = number("SIGYN_SIMULATION_SEED") {
            run_or_tell(seed);
            return;
        }
        let runs = number("SIGYN_SIMULATION_RUNS").unwrap_or(RUNS);
        let next = AtomicU64::new(0);
        let work = || {
            let mut all = Told::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= runs {
                    return all;
                }
                all.add(run_or_tell(seed));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut all = Told::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join() {
                    Ok(told) => all.add(told),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        println!("{runs} schedules: {all:?}");
        // Schedules in which nothing goes wrong, or nothing works, would prove nothing.
        assert!(all.acknowledged > 2 * runs && all.refused > runs / 10 && all.crashes > runs / 2);
        assert!(all.answered > runs / 2);
    }

    #[test]
    fn a_seed_repeats_its_schedule() {
        for seed in [3, 77] {
            assert_eq!(run_or_tell(seed), run_or_tell(seed));
        }
    }
}
