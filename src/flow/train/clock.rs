//! What a limit in seconds, and the history, count.

use std::sync::LazyLock;
use std::time::Instant;

/// The time that a training is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// Time on the wall.
    #[default]
    Wall,
    /// Processor time of this process, all its threads together, so that a busy machine changes
    /// nothing; time on the wall where the system does not tell it. Right for one training at a time.
    Processor,
}

impl Clock {
    /// Seconds since some fixed moment of this process.
    pub fn now(self) -> f64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let wall = || START.elapsed().as_secs_f64();
        match self {
            Self::Wall => wall(),
            Self::Processor => processor_seconds().unwrap_or_else(wall),
        }
    }
}

/// User and system time of this process, from `/proc/self/stat` in hundredths of a second.
fn processor_seconds() -> Option<f64> {
    const TICKS_PER_S: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before the last parenthesis may hold spaces; user time is the twelfth field after it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_passes_with_work_and_not_with_sleep() {
        let (wall, processor) = (Clock::Wall.now(), Clock::Processor.now());
        let mut sum = 0.0_f64;
        while Clock::Wall.now() - wall < 0.1 {
            sum += (0..1000).map(|i| f64::from(i).sqrt()).sum::<f64>();
        }
        assert!(sum > 0.0);
        assert!(Clock::Processor.now() >= processor);
        if cfg!(target_os = "linux") {
            assert!(processor_seconds().is_some());
        }
    }
}
