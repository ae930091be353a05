//! Prompts of three kinds of tokenizer: exact, different where they must be, and the same where they must be.

use std::collections::{BTreeSet, HashMap, HashSet};

use indexmap::IndexMap;
use schemas::{
    plan::{ArrivalPlan, Experiment, PlannedRequest},
    row::RequestKind,
};

use super::{
    Occasion, PromptError, TemplateOverhead, TextSource, Tokenizer, TrialPrompts, build,
    build_longest, warm_up,
};
use crate::load::{ArrivalItem, Body, RequestItem};

/// Two-letter words, each with its space one token; the letters and the bare words are tokens too.
fn byte_pairs() -> Vec<u8> {
    let letters: Vec<String> = ('a'..='p').map(String::from).collect();
    let mut tokens = letters.clone();
    tokens.push("Ġ".to_owned());
    let mut merges = Vec::new();
    for first in &letters {
        tokens.push(format!("Ġ{first}"));
        merges.push(format!("Ġ {first}"));
    }
    for first in &letters {
        for second in &letters {
            tokens.push(format!("Ġ{first}{second}"));
            merges.push(format!("Ġ{first} {second}"));
            tokens.push(format!("{first}{second}"));
            merges.push(format!("{first} {second}"));
        }
    }
    let vocabulary: IndexMap<&str, usize> = tokens.iter().map(String::as_str).zip(0..).collect();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [{ "id": tokens.len(), "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": merges, "fuse_unk": false, "byte_fallback": false }
    })
    .to_string()
    .into_bytes()
}

/// One token for each printable character: words stand side by side.
fn characters() -> Vec<u8> {
    let vocabulary: HashMap<String, u32> = (' '..='~').map(String::from).zip(0..).collect();
    serde_json::json!({
        "version": "1.0",
        "pre_tokenizer": { "type": "Split", "pattern": { "Regex": "." }, "behavior": "Isolated", "invert": false },
        "decoder": { "type": "Fuse" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": " " }
    })
    .to_string()
    .into_bytes()
}

/// Words between spaces that belong to no token.
fn parted_words() -> Vec<u8> {
    let mut vocabulary: HashMap<String, u32> = (0..400_u32)
        .map(|id| (format!("w{}", spelled(id)), id))
        .collect();
    vocabulary.insert("[UNK]".to_owned(), 400);
    serde_json::json!({
        "version": "1.0",
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" }
    })
    .to_string()
    .into_bytes()
}

fn spelled(number: u32) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(digit - b'0' + b'a'))
        .collect()
}

fn sources() -> Vec<TextSource> {
    [byte_pairs(), characters(), parted_words()]
        .iter()
        .map(|bytes| {
            TextSource::new(Tokenizer::from_bytes(bytes).expect("a tokenizer"), 7).expect("words")
        })
        .collect()
}

fn planned(
    request_id: u32,
    context_id: u32,
    context_tokens: u32,
    query_tokens: u32,
) -> PlannedRequest {
    PlannedRequest {
        request_id,
        arrival: request_id,
        kind: RequestKind::Reused,
        context_id,
        turn: 0,
        context_tokens,
        query_tokens,
        output_tokens: 5,
        think_time_ns: None,
    }
}

fn experiment(workload: &str, requests: Vec<PlannedRequest>) -> Experiment {
    Experiment {
        workload: workload.to_owned(),
        point: IndexMap::new(),
        label: String::new(),
        context_tokens: 0,
        arrival: ArrivalPlan::Closed { concurrency: 1 },
        expected_cached_tokens: vec![None, Some((0..).step_by(10).take(requests.len()).collect())],
        requests,
        skipped_engines: Vec::new(),
    }
}

const FIRST: Occasion = Occasion {
    nonce: 1,
    experiment: 0,
    trial: 0,
};

fn prompts(source: &TextSource, requests: Vec<PlannedRequest>, occasion: Occasion) -> TrialPrompts {
    build(
        source,
        &experiment("shared-context", requests),
        occasion,
        "m",
    )
    .expect("prompts")
}

fn json(body: &Body) -> serde_json::Value {
    serde_json::from_slice(&body.parts().concat()).expect("JSON")
}

fn singles(prompts: &TrialPrompts) -> Vec<RequestItem> {
    let arrivals = prompts.arrivals(0, None);
    arrivals
        .into_iter()
        .map(|arrival| match arrival {
            ArrivalItem::Single(item) => item,
            other => panic!("not a single request: {other:?}"),
        })
        .collect()
}

fn texts(prompts: &TrialPrompts) -> Vec<String> {
    singles(prompts)
        .iter()
        .map(|item| {
            json(&item.body)["messages"][0]["content"]
                .as_str()
                .expect("a text")
                .to_owned()
        })
        .collect()
}

#[test]
fn every_length_is_exact() {
    for source in sources() {
        for tokens in [0, 1, 2, 7, 8, 9, 100, 5_000] {
            let text = source.text("any", &[u64::from(tokens)], tokens);
            source.verify(&text, tokens).expect("exact");
            assert_eq!(text.trim(), text, "a template that trims changes nothing");
        }
        let requests = [(0, 3), (1, 0), (5, 1), (8, 2), (300, 16)];
        let requests = (0..)
            .zip(requests)
            .map(|(id, (context, query))| planned(id, id, context, query))
            .collect();
        for (text, tokens) in texts(&prompts(&source, requests, FIRST))
            .iter()
            .zip([3, 1, 6, 10, 316])
        {
            source.verify(text, tokens).expect("exact");
        }
    }
}

#[test]
fn an_inexact_text_is_found() {
    let source = &sources()[0];
    assert!(matches!(
        source.verify("ab cd ef", 4),
        Err(PromptError::Inexact {
            planned: 4,
            encoded: 3
        })
    ));
}

#[test]
fn a_body_asks_for_exactly_so_many_tokens() {
    let source = &sources()[0];
    let item = singles(&prompts(source, vec![planned(0, 0, 20, 4)], FIRST)).remove(0);
    assert_eq!(
        item.body.length_bytes(),
        item.body.parts().concat().len() as u64
    );
    let mut body = json(&item.body);
    body["messages"][0]["content"].take();
    let expected = serde_json::json!({
        "model": "m", "messages": [{ "role": "user", "content": null }], "stream": true, "stream_options": { "include_usage": true },
        "temperature": 0, "max_tokens": 5, "min_tokens": 5, "ignore_eos": true
    });
    assert_eq!(body, expected);
}

#[test]
fn the_longest_made_alone_is_the_longest_of_all() {
    let source = &sources()[0];
    let requests = vec![
        planned(0, 0, 30, 4),
        planned(1, 1, 60, 9),
        planned(2, 1, 40, 29),
        planned(3, 0, 5, 2),
    ];
    for workload in ["shared-context", "multi-turn"] {
        let experiment = experiment(workload, requests.clone());
        let all = build(source, &experiment, FIRST, "m").expect("prompts");
        let alone = build_longest(source, &experiment, FIRST, "m").expect("a prompt");
        assert_eq!(alone.longest(), all.longest(), "{workload}");
        assert_eq!(alone.arrivals(0, None).len(), 1);
    }
}

#[test]
fn reused_contexts_share_their_memory() {
    let source = &sources()[0];
    let items = singles(&prompts(
        source,
        (0..4).map(|id| planned(id, id / 2, 500, 9)).collect(),
        FIRST,
    ));
    let context = |index: usize| items[index].body.parts()[1].as_ptr();
    assert_eq!((context(0), context(2)), (context(1), context(3)));
    assert_ne!(context(0), context(2));
    let queries: HashSet<&[u8]> = items
        .iter()
        .map(|item| item.body.parts()[2].as_ref())
        .collect();
    assert_eq!(queries.len(), 4, "no two ask the same");
}

#[test]
fn a_longer_context_extends_the_shorter() {
    for source in sources() {
        let lengths = [4, 100, 200, 200, 300];
        let requests = (0..)
            .zip(lengths)
            .map(|(id, length)| planned(id, 0, length, 0))
            .collect();
        let texts = texts(&prompts(&source, requests, FIRST));
        for pair in texts.windows(2) {
            assert!(pair[1].starts_with(&pair[0]));
        }
        assert_eq!(texts[2], texts[3]);
    }
}

#[test]
fn nothing_opens_with_what_another_opened_with() {
    for source in sources() {
        let two = || vec![planned(0, 0, 64, 4), planned(1, 1, 64, 4)];
        let occasions = [
            FIRST,
            Occasion { nonce: 2, ..FIRST },
            Occasion {
                experiment: 1,
                ..FIRST
            },
            Occasion { trial: 1, ..FIRST },
        ];
        let mut openings = HashSet::new();
        for occasion in occasions {
            for text in texts(&prompts(&source, two(), occasion)) {
                assert!(openings.insert(text[..8].to_owned()), "{text}");
            }
        }
        for item in warm_up(&source, &[&experiment("shared-context", two())], 1, "m") {
            let ArrivalItem::Single(item) = item else {
                panic!("a single request")
            };
            let text = json(&item.body)["messages"][0]["content"]
                .as_str()
                .expect("a text")
                .to_owned();
            assert!(openings.insert(text[..8].to_owned()));
            source.verify(&text, 68).expect("exact");
        }
    }
}

#[test]
fn the_fingerprint_leaves_the_salt_out() {
    let source = &sources()[0];
    let of = |requests, occasion| prompts(source, requests, occasion).fingerprint().to_owned();
    let two = || vec![planned(0, 0, 64, 4), planned(1, 0, 64, 4)];
    assert_eq!(of(two(), FIRST), of(two(), Occasion { nonce: 9, ..FIRST }));
    let others = [
        of(two(), Occasion { trial: 1, ..FIRST }),
        of(vec![planned(0, 0, 64, 4)], FIRST),
        of(vec![planned(0, 0, 64, 4), planned(1, 1, 64, 4)], FIRST),
        of(vec![planned(0, 0, 64, 4), planned(1, 0, 64, 5)], FIRST),
    ];
    assert!(!others.contains(&of(two(), FIRST)));
    let distinct: BTreeSet<&String> = others.iter().collect();
    assert_eq!(distinct.len(), others.len());
    let other_seed = TextSource::new(
        Tokenizer::from_bytes(&byte_pairs()).expect("a tokenizer"),
        8,
    )
    .expect("words");
    assert_ne!(
        prompts(&other_seed, two(), FIRST).fingerprint(),
        of(two(), FIRST)
    );
}

#[test]
fn steps_and_conversations_are_grouped() {
    let source = &sources()[0];
    let mut steps: Vec<PlannedRequest> = (0..4).map(|id| planned(id, id, 32, 4)).collect();
    steps.iter_mut().for_each(|request| request.arrival /= 2);
    let prompts_of = |workload, requests| {
        build(source, &experiment(workload, requests), FIRST, "m").expect("prompts")
    };
    let arrivals = prompts_of("mixed-batch", steps).arrivals(0, None);
    assert!(
        arrivals
            .iter()
            .all(|arrival| matches!(arrival, ArrivalItem::Batch(items) if items.len() == 2))
    );
    assert_eq!(arrivals.len(), 2);

    let mut turns: Vec<PlannedRequest> = (0..3).map(|id| planned(id, 0, 25 * id, 20)).collect();
    for (turn, request) in (0..).zip(&mut turns) {
        (request.arrival, request.turn, request.think_time_ns) =
            (0, turn, Some(u64::from(turn) * 1_000));
    }
    let overhead = TemplateOverhead {
        single_tokens: 6,
        per_exchange_tokens: 9,
    };
    let arrivals = prompts_of("multi-turn", turns).arrivals(1, Some(overhead));
    let [ArrivalItem::Conversation(conversation)] = arrivals.as_slice() else {
        panic!("one conversation")
    };
    let facts: Vec<_> = conversation.turns.iter().map(|turn| &turn.facts).collect();
    let tokens: Vec<_> = facts
        .iter()
        .map(|facts| (facts.planned_prompt_tokens, facts.expected_cached_tokens))
        .collect();
    assert_eq!(
        tokens,
        [
            (Some(26), Some(0)),
            (Some(60), Some(10)),
            (Some(94), Some(20))
        ]
    );
    for turn in &conversation.turns {
        source
            .verify(std::str::from_utf8(&turn.question).expect("UTF-8"), 20)
            .expect("exact");
    }
    let last = json(&conversation.body(2, &["one".into(), "two".into()]));
    let roles: Vec<&str> = last["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(last["messages"][3]["content"], "two");
}

#[test]
fn a_tokenizer_without_words_is_refused() {
    let few: HashMap<String, u32> = ('a'..'d').map(String::from).zip(0..).collect();
    let bytes = serde_json::json!({ "version": "1.0", "model": { "type": "WordLevel", "vocab": few, "unk_token": "a" } }).to_string();
    let tokenizer = Tokenizer::from_bytes(bytes.as_bytes()).expect("a tokenizer");
    assert!(matches!(
        TextSource::new(tokenizer, 1),
        Err(PromptError::NoWords { .. })
    ));
    assert!(Tokenizer::from_bytes(b"{}").is_err());
}
