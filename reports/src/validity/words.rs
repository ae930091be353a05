//! Reasons against an experiment, and flags, as sentences with their advice.

use std::fmt::{Display, Formatter, Result};

use crate::{
    number::{count, counted},
    phrase::{percent, quantity},
    validity::{Flag, InvalidReason, LatenessStatistic},
};

use crate::analysis::Unit::Seconds;

impl Display for InvalidReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::EngineRestarted {
                engine,
                process,
                ending,
            } => write!(
                f,
                "`{process}` of {engine} ended although nothing in the scenario said so: {ending}"
            ),
            Self::ColdWasCached {
                engine,
                requests,
                worst_cached_tokens,
                allowed_tokens,
            } => write!(
                f,
                "{} of {engine} that should have been cold had up to {} cached tokens, where at most {} stand before the salt",
                counted(*requests, "request", "requests"),
                count(u64::from(*worst_cached_tokens)),
                count(u64::from(*allowed_tokens)),
            ),
            Self::HitMissing {
                engine,
                median_share,
                requests,
                log_line,
            } => {
                write!(
                    f,
                    "{} of {engine} found {} of the cached tokens that its backend promises (median)",
                    counted(*requests, "later request", "later requests"),
                    percent(*median_share),
                )?;
                match log_line {
                    Some(line) => write!(f, "; its log says “{line}”"),
                    None => Ok(()),
                }
            }
            Self::CountersDisagree {
                engine,
                reported_tokens,
                counted_tokens,
                allowed_tokens,
                counters,
            } => write!(
                f,
                "the requests of {engine} report {} cached tokens and its counters {} ({counters}): further apart than {} tokens",
                count(*reported_tokens),
                count(counted_tokens.max(0.0) as u64),
                count(*allowed_tokens),
            ),
            Self::PromptLengthOff {
                engine,
                requests,
                planned_tokens,
                found_tokens,
            } => write!(
                f,
                "{} of {engine} had another length than planned: {} tokens instead of {} in the first",
                counted(*requests, "prompt", "prompts"),
                count(u64::from(*found_tokens)),
                count(u64::from(*planned_tokens)),
            ),
            Self::ClientLate {
                engine,
                statistic,
                late_s,
                allowed_s,
            } => write!(
                f,
                "the client sent the requests of {engine} up to {} late ({}), more than the {} that are allowed",
                quantity(*late_s, Seconds),
                match statistic {
                    LatenessStatistic::P99 => "99th percentile",
                    LatenessStatistic::Max => "the latest",
                },
                quantity(*allowed_s, Seconds),
            ),
            Self::ClientStarved {
                engine,
                heartbeat_p99_s,
                heartbeat_worst_s,
                allowed_p99_s,
                allowed_worst_s,
            } => write!(
                f,
                "the client's request thread did not get to run while it asked {engine}: its heartbeat was {} late (99th percentile; {} allowed), {} at worst ({} allowed)",
                quantity(*heartbeat_p99_s, Seconds),
                quantity(*allowed_p99_s, Seconds),
                quantity(*heartbeat_worst_s, Seconds),
                quantity(*allowed_worst_s, Seconds),
            ),
            Self::FirstTokenDiffers {
                engine,
                relative_to,
                reused_share,
                cold_share,
            } => write!(
                f,
                "{} of the later replies of {engine} begin with another word than those of {relative_to}, but only {} of the cold ones",
                percent(*reused_share),
                percent(*cold_share),
            ),
        }
    }
}

impl InvalidReason {
    /// Its place in the order of gravity, from 0, the worst.
    pub(crate) fn gravity(&self) -> u8 {
        match self {
            Self::EngineRestarted { .. } => 0,
            Self::ColdWasCached { .. } => 1,
            Self::HitMissing { .. } => 2,
            Self::CountersDisagree { .. } => 3,
            Self::PromptLengthOff { .. } => 4,
            Self::ClientLate { .. } => 5,
            Self::ClientStarved { .. } => 6,
            Self::FirstTokenDiffers { .. } => 7,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::EngineRestarted { .. } => {
                "Read the log's last lines; a declared stop belongs into an [[event]]."
            }
            Self::ColdWasCached { .. } => {
                "Something kept KV from before: check that nothing else sends to this engine, and that its tiers were empty."
            }
            Self::HitMissing { .. } => {
                "Check that the tier is large enough for the contexts, that storing is finished before the next request, and the engine's log."
            }
            Self::CountersDisagree { .. } => {
                "Check that nothing else sends to this engine; otherwise one of the two counts is wrong."
            }
            Self::PromptLengthOff { .. } => {
                "Check that the engine serves the planned model with its own tokenizer and chat template."
            }
            Self::ClientLate { .. } => {
                "Ask at a lower rate, or leave the client more cores: the schedule was not kept."
            }
            Self::ClientStarved { .. } => {
                "Leave the client a core of its own, and run nothing else on this host."
            }
            Self::FirstTokenDiffers { .. } => {
                "The tier may give back other KV than was stored: compare the replies, and check serializer and version."
            }
        }
    }
}

impl Display for Flag {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::RequestsOverlapped {
                engine,
                requests,
                of,
            } => write!(
                f,
                "{} of {} requests of {engine} were sent before an earlier one was done: TTFT includes queueing",
                count(*requests),
                count(*of)
            ),
            Self::FewTrials { trials } => write!(
                f,
                "{} only: an interval needs at least 3",
                counted(u64::from(*trials), "trial", "trials")
            ),
            Self::Unpaired => write!(
                f,
                "the engines' trials were not interleaved: a drift of the host is not told from a difference of engines"
            ),
            Self::HalfWidthNotReached {
                metric,
                reached,
                asked,
                trials,
            } => write!(
                f,
                "half-width not reached: {} of {metric} after {trials} trials, where {} was asked",
                percent(*reached),
                percent(*asked)
            ),
            Self::Outliers {
                engine,
                requests,
                of,
            } => write!(
                f,
                "{} of {} requests of {engine} are far from the others (modified z-score above 3.5); they are kept",
                count(*requests),
                count(*of)
            ),
            Self::NoEvidence { engine } => write!(
                f,
                "{engine} reports no cached tokens: nothing proves that its requests were hit"
            ),
            Self::TokensFromEvents { engine, requests } => write!(
                f,
                "output tokens of {} of {engine} were counted from events, as the engine gave no usage",
                counted(*requests, "request", "requests")
            ),
            Self::Failures {
                engine,
                requests,
                of,
                most,
            } => write!(
                f,
                "{} of {} requests of {engine} did not end ok, most of them as {most}",
                count(*requests),
                count(*of)
            ),
            Self::CpuStolen { share } => write!(
                f,
                "the hypervisor gave others {} of this host's CPU time while it was wanted here: times are longer for it",
                crate::phrase::percent(*share)
            ),
            Self::ServedFromPageCache {
                engine,
                read_bytes,
                kv_bytes,
            } => write!(
                f,
                "served from the page cache: {engine} read {} from the disk for {} of KV",
                crate::phrase::bytes(*read_bytes as f64),
                crate::phrase::bytes(*kv_bytes as f64)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_its_numbers() {
        let reason = InvalidReason::HitMissing {
            engine: "lmcache".to_owned(),
            log_line: None,
            median_share: 0.25,
            requests: 27,
        };
        assert_eq!(
            reason.to_string(),
            "27 later requests of lmcache found 25.0 % of the cached tokens that its backend promises (median)"
        );
        assert!(reason.advice().ends_with('.'));
    }
}
