//! The lines that the runner and a guard exchange over the guard's stdin (orders) and stdout (reports).

use super::{ending::ProcessEnding, shared_memory::SharedFile};

/// What the runner tells a guard. End of file, the third order, needs no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// TERM to the process group, then wait for the next order.
    Terminate,
    /// KILL everything that descends from the guard.
    Kill,
}

impl Order {
    /// The line, with its end.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Terminate => "term\n",
            Self::Kill => "kill\n",
        }
    }

    /// The order that a line (without its end) gives.
    pub(super) fn parse(line: &str) -> Option<Self> {
        match line {
            "term" => Some(Self::Terminate),
            "kill" => Some(Self::Kill),
            _ => None,
        }
    }
}

/// What a guard tells the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// The program runs; its process id is also its group.
    Started { pid: i32 },
    /// The program could not be started.
    NotStarted { reason: String },
    /// A file in shared memory was made by the guard's processes.
    SharedMemory(SharedFile),
    /// The program ended. What it started may still be there.
    Exited(ProcessEnding),
    /// Nothing that descends from the guard is left.
    Empty,
}

impl Report {
    /// The line, with its end.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Started { pid } => format!("started {pid}\n"),
            Self::NotStarted { reason } => {
                let reason: String = reason
                    .chars()
                    .map(|character| {
                        if character.is_control() {
                            ' '
                        } else {
                            character
                        }
                    })
                    .collect();
                format!("not-started {reason}\n")
            }
            Self::SharedMemory(file) => format!("shared-memory {} {}\n", file.inode, file.name),
            Self::Exited(ProcessEnding::ExitCode(code)) => format!("exited code {code}\n"),
            Self::Exited(ProcessEnding::Signal(signal)) => format!("exited signal {signal}\n"),
            Self::Exited(ProcessEnding::GuardLost) => "exited guard-lost\n".to_owned(),
            Self::Exited(ProcessEnding::NotGone) => "exited not-gone\n".to_owned(),
            Self::Empty => "empty\n".to_owned(),
        }
    }

    /// The report that a line (without its end) gives.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "started" => Some(Self::Started {
                pid: rest.parse().ok()?,
            }),
            "not-started" => Some(Self::NotStarted {
                reason: rest.to_owned(),
            }),
            "shared-memory" => {
                let (inode, name) = rest.split_once(' ')?;
                Some(Self::SharedMemory(SharedFile {
                    inode: inode.parse().ok()?,
                    name: name.to_owned(),
                }))
            }
            "exited" => {
                let ending = match rest.split_once(' ').unwrap_or((rest, "")) {
                    ("code", code) => ProcessEnding::ExitCode(code.parse().ok()?),
                    ("signal", signal) => ProcessEnding::Signal(signal.parse().ok()?),
                    ("guard-lost", "") => ProcessEnding::GuardLost,
                    ("not-gone", "") => ProcessEnding::NotGone,
                    _ => return None,
                };
                Some(Self::Exited(ending))
            }
            "empty" => Some(Self::Empty),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_report() -> impl Strategy<Value = Report> {
        prop_oneof![
            any::<i32>().prop_map(|pid| Report::Started { pid }),
            "[^\\p{C}]{0,60}".prop_map(|reason| Report::NotStarted { reason }),
            (any::<u64>(), "[^/\\p{C}]{1,40}")
                .prop_map(|(inode, name)| Report::SharedMemory(SharedFile { inode, name })),
            any::<i32>().prop_map(|code| Report::Exited(ProcessEnding::ExitCode(code))),
            any::<i32>().prop_map(|signal| Report::Exited(ProcessEnding::Signal(signal))),
            Just(Report::Exited(ProcessEnding::GuardLost)),
            Just(Report::Exited(ProcessEnding::NotGone)),
            Just(Report::Empty),
        ]
    }

    proptest! {
        #[test]
        fn a_report_is_one_line_that_reads_back(report in any_report()) {
            let line = report.line();
            let text = line.strip_suffix('\n').expect("a line ends");
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(Report::parse(text), Some(report));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = Report::parse(&text);
            let _ = Order::parse(&text);
        }
    }

    #[test]
    fn a_reason_of_several_lines_stays_one_line() {
        let report = Report::NotStarted {
            reason: "a\nb".to_owned(),
        };
        assert_eq!(report.line(), "not-started a b\n");
    }

    #[test]
    fn orders_read_back() {
        for order in [Order::Terminate, Order::Kill] {
            assert_eq!(Order::parse(order.line().trim_end()), Some(order));
        }
        assert_eq!(Order::parse("stop"), None);
    }
}
