//! How a started process ended.

use std::fmt;

/// How a started process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnding {
    /// It called `exit` with this code.
    ExitCode(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its guard was killed from outside, so the status went with the guard; what was left of the process was then killed.
    GuardLost,
    /// It was still there long after KILL: the kernel holds it, usually in an uninterruptible wait for a device.
    NotGone,
}

impl fmt::Display for ProcessEnding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
            Self::GuardLost => write!(formatter, "its guard was killed"),
            Self::NotGone => write!(formatter, "still there after signal 9"),
        }
    }
}
