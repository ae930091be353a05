//! From a planned experiment to requests: contexts, questions, conversations.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use schemas::{
    plan::{Experiment, PlannedRequest},
    row::RequestKind,
};

use super::{
    body::{Frame, closing},
    source::{PromptError, TextSource},
    template::TemplateOverhead,
};
use crate::load::{ArrivalItem, Body, Conversation, ConversationTurn, RequestFacts, RequestItem};

/// Output tokens of a warm-up request.
const WARM_UP_OUTPUT_TOKENS: u32 = 4;

/// Which run, experiment and trial prompts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// Differs between runs, so that nothing that an earlier run left in a tier is found.
    pub nonce: u64,
    /// Index of the experiment in the plan.
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
}

/// The prompts of one (experiment, trial): the same for every engine.
#[derive(Debug, Clone)]
pub struct TrialPrompts {
    arrivals: Vec<ArrivalItem>,
    expected_cached_tokens: Vec<Option<Vec<u32>>>,
    fingerprint: String,
    longest: (String, u32),
}

impl TrialPrompts {
    /// The turn's arrivals for one engine (by index); `overhead` is what the chat template adds, where it is known.
    pub fn arrivals(&self, engine: usize, overhead: Option<TemplateOverhead>) -> Vec<ArrivalItem> {
        let expected = self
            .expected_cached_tokens
            .get(engine)
            .and_then(Option::as_ref);
        let mut arrivals = self.arrivals.clone();
        for facts in arrivals.iter_mut().flat_map(facts_of) {
            facts.expected_cached_tokens =
                expected.and_then(|tokens| tokens.get(facts.request_id as usize).copied());
        }
        for arrival in &mut arrivals {
            let in_conversation = matches!(arrival, ArrivalItem::Conversation(_));
            for facts in facts_of(arrival) {
                let turn = if in_conversation { facts.turn } else { 0 };
                let own_tokens = facts.context_tokens + facts.query_tokens;
                facts.planned_prompt_tokens =
                    overhead.map(|overhead| own_tokens + overhead.at_turn(turn));
            }
        }
        arrivals
    }

    /// BLAKE3 over all prompts without their salts, hexadecimal: the same in every run of the same plan with the same tokenizer.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The longest first message and its tokens: what the engine's `/tokenize` is to confirm.
    pub fn longest(&self) -> (&str, u32) {
        (&self.longest.0, self.longest.1)
    }
}

fn facts_of(arrival: &mut ArrivalItem) -> Vec<&mut RequestFacts> {
    match arrival {
        ArrivalItem::Single(item) => vec![&mut item.facts],
        ArrivalItem::Batch(items) => items.iter_mut().map(|item| &mut item.facts).collect(),
        ArrivalItem::Conversation(conversation) => conversation
            .turns
            .iter_mut()
            .map(|turn| &mut turn.facts)
            .collect(),
    }
}

/// Makes the prompts of one (experiment, trial).
///
/// # Errors
/// [`PromptError`]; the longest prompt is verified with the tokenizer.
pub fn build(
    source: &TextSource,
    experiment: &Experiment,
    occasion: Occasion,
    model: &str,
) -> Result<TrialPrompts, PromptError> {
    let requests: Vec<&PlannedRequest> = experiment.requests.iter().collect();
    build_some(source, experiment, &requests, occasion, model)
}

/// Makes only what arrives together with the request that has the longest first message: the same text as in the whole trial's prompts.
///
/// # Errors
/// As [`build`].
pub fn build_longest(
    source: &TextSource,
    experiment: &Experiment,
    occasion: Occasion,
    model: &str,
) -> Result<TrialPrompts, PromptError> {
    let message_tokens = |request: &&PlannedRequest| match experiment.workload.as_str() {
        "multi-turn" => request.query_tokens,
        _ => request.context_tokens + request.query_tokens,
    };
    // The first of several, as a whole build finds it.
    let longest = experiment.requests.iter().rev().max_by_key(message_tokens);
    let requests: Vec<&PlannedRequest> = experiment
        .requests
        .iter()
        .filter(|request| longest.is_some_and(|longest| longest.arrival == request.arrival))
        .collect();
    build_some(source, experiment, &requests, occasion, model)
}

fn build_some(
    source: &TextSource,
    experiment: &Experiment,
    requests: &[&PlannedRequest],
    occasion: Occasion,
    model: &str,
) -> Result<TrialPrompts, PromptError> {
    let mut builder = Builder::new(source, occasion, model);
    let mut by_arrival: BTreeMap<u32, Vec<&PlannedRequest>> = BTreeMap::new();
    for request in requests {
        by_arrival.entry(request.arrival).or_default().push(request);
    }
    let conversations = experiment.workload == "multi-turn";
    if !conversations {
        builder.write_contexts(requests);
    }
    let arrivals = by_arrival
        .into_values()
        .map(|requests| match requests.as_slice() {
            requests if conversations => ArrivalItem::Conversation(builder.conversation(requests)),
            [request] => ArrivalItem::Single(builder.request(request)),
            requests => ArrivalItem::Batch(
                requests
                    .iter()
                    .map(|request| builder.request(request))
                    .collect(),
            ),
        })
        .collect();
    let (text, tokens) = &builder.longest;
    source.verify(text, *tokens)?;
    Ok(TrialPrompts {
        arrivals,
        expected_cached_tokens: experiment.expected_cached_tokens.clone(),
        fingerprint: builder.fingerprint.finalize().to_hex().to_string(),
        longest: builder.longest,
    })
}

/// Requests that warm an engine up: each length of context and question that the experiments have once, with text of their own and few output tokens.
pub fn warm_up(
    source: &TextSource,
    experiments: &[&Experiment],
    nonce: u64,
    model: &str,
) -> Vec<ArrivalItem> {
    let frame = Frame::new(model);
    let lengths: BTreeSet<u32> = experiments
        .iter()
        .flat_map(|experiment| &experiment.requests)
        .map(|request| request.context_tokens + request.query_tokens)
        .collect();
    (0..)
        .zip(lengths)
        .map(|(request_id, tokens)| {
            let mut text = String::new();
            // Numbers of a length that no trial's salt has.
            let salted = source.write_salt(&mut text, nonce, &[u64::from(request_id)], tokens);
            source
                .stream("warm-up", &[u64::from(request_id)])
                .follow(&mut text, tokens - salted);
            let facts = RequestFacts {
                request_id,
                kind: RequestKind::Cold,
                context_id: request_id,
                turn: 0,
                context_tokens: tokens,
                query_tokens: 0,
                asked_output_tokens: WARM_UP_OUTPUT_TOKENS,
                planned_prompt_tokens: None,
                expected_cached_tokens: None,
            };
            let body = Body::new([
                frame.opening.clone(),
                Bytes::from(text),
                closing(WARM_UP_OUTPUT_TOKENS),
            ]);
            ArrivalItem::Single(RequestItem { facts, body })
        })
        .collect()
}

struct Builder<'a> {
    source: &'a TextSource,
    occasion: Occasion,
    frame: Frame,
    closings: HashMap<u32, Bytes>,
    /// By context and length; those of one context share their memory.
    contexts: HashMap<(u32, u32), Bytes>,
    fingerprint: blake3::Hasher,
    longest: (String, u32),
}

impl<'a> Builder<'a> {
    fn new(source: &'a TextSource, occasion: Occasion, model: &str) -> Self {
        Self {
            source,
            occasion,
            frame: Frame::new(model),
            closings: HashMap::new(),
            contexts: HashMap::new(),
            fingerprint: blake3::Hasher::new(),
            longest: (String::new(), 0),
        }
    }

    /// Writes every context once, at its longest; shorter ones of the same number are its beginnings.
    fn write_contexts(&mut self, requests: &[&PlannedRequest]) {
        let mut lengths: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for request in requests {
            lengths
                .entry(request.context_id)
                .or_default()
                .insert(request.context_tokens);
        }
        for (context_id, lengths) in lengths {
            let mut text = String::new();
            let longest = lengths.last().copied().unwrap_or(0);
            // Four or five bytes a word: a guess that saves most of the moves.
            text.reserve(longest as usize * 5);
            let mut written = self.write_salt(&mut text, context_id, longest);
            let unsalted_from = text.len();
            let mut stream = self.source.stream("context", &self.numbers(context_id));
            let mut ends = Vec::with_capacity(lengths.len());
            for length in lengths {
                if length < written {
                    // Shorter than the salt: its beginning, found by writing the salt once more.
                    let mut beginning = String::new();
                    self.write_salt(&mut beginning, context_id, length);
                    ends.push((length, beginning.len()));
                } else {
                    stream.follow(&mut text, length - written);
                    written = length;
                    ends.push((length, text.len()));
                }
            }
            self.fingerprint
                .update(text.get(unsalted_from..).unwrap_or("").as_bytes());
            text.shrink_to_fit();
            let whole = Bytes::from(text);
            for (length, end) in ends {
                self.contexts
                    .insert((context_id, length), whole.slice(..end));
            }
        }
    }

    fn request(&mut self, request: &PlannedRequest) -> RequestItem {
        let context = self
            .contexts
            .get(&(request.context_id, request.context_tokens))
            .cloned()
            .unwrap_or_default();
        let mut query = String::new();
        let mut stream = self
            .source
            .stream("query", &self.numbers(request.request_id));
        if request.context_tokens == 0 {
            let salted = self.write_salt(&mut query, request.context_id, request.query_tokens);
            stream.follow(&mut query, request.query_tokens - salted);
        } else {
            stream.follow(&mut query, request.query_tokens);
            // Without a context the question holds the salt, which is no part of the fingerprint.
            self.fingerprint.update(query.as_bytes());
        }
        self.note(request);
        let tokens = request.context_tokens + request.query_tokens;
        if tokens > self.longest.1 {
            self.longest = (
                format!("{}{query}", String::from_utf8_lossy(&context)),
                tokens,
            );
        }
        let closing = self.closing(request.output_tokens);
        let body = Body::new([
            self.frame.opening.clone(),
            context,
            Bytes::from(query),
            closing,
        ]);
        RequestItem {
            facts: facts(request),
            body,
        }
    }

    fn conversation(&mut self, requests: &[&PlannedRequest]) -> Conversation {
        let mut turns = Vec::with_capacity(requests.len());
        for request in requests {
            let mut question = String::new();
            let mut stream = self
                .source
                .stream("query", &self.numbers(request.request_id));
            let unsalted_from = if turns.is_empty() {
                let salted =
                    self.write_salt(&mut question, request.context_id, request.query_tokens);
                let unsalted_from = question.len();
                stream.follow(&mut question, request.query_tokens - salted);
                unsalted_from
            } else {
                stream.message(&mut question, request.query_tokens);
                0
            };
            self.fingerprint
                .update(question.get(unsalted_from..).unwrap_or("").as_bytes());
            self.note(request);
            if request.query_tokens > self.longest.1 {
                self.longest = (question.clone(), request.query_tokens);
            }
            turns.push(ConversationTurn {
                facts: facts(request),
                question: Bytes::from(question),
                closing: self.closing(request.output_tokens),
                think_time_ns: request.think_time_ns.unwrap_or(0),
            });
        }
        Conversation {
            opening: self.frame.opening.clone(),
            reply_open: self.frame.reply_open.clone(),
            question_open: self.frame.question_open.clone(),
            turns,
        }
    }

    fn closing(&mut self, output_tokens: u32) -> Bytes {
        self.closings
            .entry(output_tokens)
            .or_insert_with(|| closing(output_tokens))
            .clone()
    }

    fn write_salt(&self, text: &mut String, context_id: u32, tokens: u32) -> u32 {
        self.source
            .write_salt(text, self.occasion.nonce, &self.numbers(context_id), tokens)
    }

    fn numbers(&self, last: u32) -> [u64; 3] {
        [
            self.occasion.experiment.into(),
            self.occasion.trial.into(),
            last.into(),
        ]
    }

    /// Lengths belong to the fingerprint too: the same words may be asked in another way.
    fn note(&mut self, request: &PlannedRequest) {
        let facts = [
            request.request_id,
            request.context_id,
            request.context_tokens,
            request.query_tokens,
            request.output_tokens,
        ];
        for fact in facts {
            self.fingerprint.update(&fact.to_le_bytes());
        }
    }
}

fn facts(request: &PlannedRequest) -> RequestFacts {
    RequestFacts {
        request_id: request.request_id,
        kind: request.kind,
        context_id: request.context_id,
        turn: request.turn,
        context_tokens: request.context_tokens,
        query_tokens: request.query_tokens,
        asked_output_tokens: request.output_tokens,
        planned_prompt_tokens: None,
        expected_cached_tokens: None,
    }
}
