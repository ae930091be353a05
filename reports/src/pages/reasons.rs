//! Why an experiment is INVALID, what to do about it, and what to know of one that is not, in sentences.

use crate::{
    chart::scale::Quantity,
    validity::{Flag, InvalidReason, LatenessStatistic},
};

use super::number::{count, counted, quantity, three};

fn percent(share: f64) -> String {
    format!("{} %", three(share * 100.0))
}

fn seconds(value: f64) -> String {
    quantity(value, Quantity::Seconds)
}

fn bytes(value: u64) -> String {
    quantity(value as f64, Quantity::Bytes)
}

/// The reason in one sentence without a full stop.
pub(crate) fn invalid(reason: &InvalidReason) -> String {
    match reason {
        InvalidReason::EngineRestarted {
            process, ending, ..
        } => format!("{process} ended although nothing said so ({ending})"),
        InvalidReason::ColdWasCached {
            engine,
            requests,
            worst_cached_tokens,
            allowed_tokens,
        } => format!(
            "{} of {engine} had up to {} cached tokens, where at most {} stand before the salt",
            counted(*requests, "cold request", "cold requests"),
            count(u64::from(*worst_cached_tokens)),
            count(u64::from(*allowed_tokens))
        ),
        InvalidReason::HitMissing {
            engine,
            median_share,
            requests,
        } => format!(
            "{engine} found {} of the cached tokens promised to {} at the median",
            percent(*median_share),
            counted(*requests, "later request", "later requests")
        ),
        InvalidReason::CountersDisagree {
            engine,
            reported_tokens,
            counted_tokens,
            allowed_tokens,
            counters,
        } => format!(
            "{engine} reported {} cached tokens request by request and counted {} ({counters}); at most {} apart is allowed",
            count(*reported_tokens),
            three(*counted_tokens),
            count(*allowed_tokens)
        ),
        InvalidReason::PromptLengthOff {
            engine,
            requests,
            planned_tokens,
            found_tokens,
        } => format!(
            "{} of {engine} had prompts of another length than planned ({} instead of {} tokens)",
            counted(*requests, "request", "requests"),
            count(u64::from(*found_tokens)),
            count(u64::from(*planned_tokens))
        ),
        InvalidReason::ClientLate {
            engine,
            statistic,
            late_s,
            allowed_s,
        } => {
            let which = match statistic {
                LatenessStatistic::P99 => "at the 99th percentile",
                LatenessStatistic::Max => "at most",
            };
            format!(
                "requests to {engine} were sent {} late {which}, {} is allowed",
                seconds(*late_s),
                seconds(*allowed_s)
            )
        }
        InvalidReason::ClientStarved {
            engine,
            heartbeat_p99_s,
            heartbeat_worst_s,
            allowed_p99_s,
            allowed_worst_s,
        } => format!(
            "while {engine} was asked, the heartbeat of the thread that sends was late by {} at the 99th percentile and {} at worst, {} and {} are allowed",
            seconds(*heartbeat_p99_s),
            seconds(*heartbeat_worst_s),
            seconds(*allowed_p99_s),
            seconds(*allowed_worst_s)
        ),
        InvalidReason::FirstTokenDiffers {
            engine,
            relative_to,
            reused_share,
            cold_share,
        } => format!(
            "{} of the reused replies of {engine} begin otherwise than those of {relative_to}, of the cold ones {}",
            percent(*reused_share),
            percent(*cold_share)
        ),
    }
}

/// What to do about a reason, in a sentence.
pub(crate) fn advice(reason: &InvalidReason) -> &'static str {
    match reason {
        InvalidReason::EngineRestarted { .. } => {
            "Read its log; the last lines are under the warnings."
        }
        InvalidReason::ColdWasCached { .. } => {
            "Look for a cache that another run left behind, or a salt behind the first chunk."
        }
        InvalidReason::HitMissing { .. } => {
            "Look for a tier that is too small, stores that lag behind, or a connector that never connected."
        }
        InvalidReason::CountersDisagree { .. } => {
            "Make sure that nobody else uses the engine; else one of the two counts otherwise."
        }
        InvalidReason::PromptLengthOff { .. } => {
            "Compare the chat template and the tokenizer with the engine’s own."
        }
        InvalidReason::ClientLate { .. } | InvalidReason::ClientStarved { .. } => {
            "Lower the rate, or give engine and client cores of their own."
        }
        InvalidReason::FirstTokenDiffers { .. } => {
            "Do not use these numbers: the tier may serve wrong bytes."
        }
    }
}

/// A flag in one sentence without a full stop.
pub(crate) fn flag(flag: &Flag) -> String {
    match flag {
        Flag::RequestsOverlapped {
            engine,
            requests,
            of,
        } => format!(
            "{} of {} requests to {engine} overlapped: TTFT includes queueing",
            count(*requests),
            count(*of)
        ),
        Flag::FewTrials { trials } => format!(
            "only {}: no intervals",
            counted(u64::from(*trials), "trial", "trials")
        ),
        Flag::Unpaired => {
            "the engines’ trials were not interleaved: they are compared as two samples".to_owned()
        }
        Flag::HalfWidthNotReached {
            metric,
            reached,
            asked,
            trials,
        } => format!(
            "half-width not reached: {metric} is known to ± {} after {}, ± {} was asked for",
            percent(*reached),
            counted(u64::from(*trials), "trial", "trials"),
            percent(*asked)
        ),
        Flag::Outliers {
            engine,
            requests,
            of,
        } => format!(
            "{} of {} requests to {engine} lie far from the others; they are kept",
            count(*requests),
            count(*of)
        ),
        Flag::NoEvidence { engine } => format!(
            "{engine} reported no cached tokens although it promises hits: nothing proves that it was hit"
        ),
        Flag::TokensFromEvents { engine, requests } => format!(
            "output tokens of {} to {engine} were counted from events: the engine gave no usage",
            counted(*requests, "request", "requests")
        ),
        Flag::Failures {
            engine,
            requests,
            of,
            most,
        } => format!(
            "{} of {} requests to {engine} failed, mostly {most}",
            count(*requests),
            count(*of)
        ),
        Flag::ServedFromPageCache {
            engine,
            read_bytes,
            kv_bytes,
        } => format!(
            "{engine} was served from the page cache: {} read at the block layer for {} of KV",
            bytes(*read_bytes),
            bytes(*kv_bytes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_flags_carry_their_numbers() {
        let missing = InvalidReason::HitMissing {
            engine: "lmcache".to_owned(),
            median_share: 0.125,
            requests: 27,
        };
        assert_eq!(
            invalid(&missing),
            "lmcache found 12.5 % of the cached tokens promised to 27 later requests at the median"
        );
        assert!(advice(&missing).contains("too small"));
        assert_eq!(
            flag(&Flag::FewTrials { trials: 1 }),
            "only 1 trial: no intervals"
        );
    }
}
