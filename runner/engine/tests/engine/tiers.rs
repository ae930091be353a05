//! Greedy output with every tier and every stack of them is, bit for bit, what it is without any.

use std::fs;

use crate::support::{Engine, chunk_files, prompt};

/// Chunks of 64 tokens keep these tests short. A token of builtin:tiny has 3,072 bytes of KV.
const CHUNK_BYTES: usize = 64 * 3072;
const OUTPUT_TOKENS: u32 = 12;

fn engine(arguments: &[&str]) -> Engine {
    Engine::start(&[&["--chunk-size", "64"], arguments].concat())
}

fn chunks(count: usize) -> String {
    // A file has 72 bytes besides the values.
    (count * (CHUNK_BYTES + 72)).to_string()
}

/// What the engine says without any tier.
fn expected(prompt: &[u32]) -> String {
    let engine = engine(&[]);
    let (text, cached) = engine.continue_greedily(prompt, OUTPUT_TOKENS);
    assert_eq!(cached, 0);
    assert_eq!(
        engine.continue_greedily(prompt, OUTPUT_TOKENS),
        (text.clone(), 0)
    );
    text
}

#[test]
fn every_stack_reuses_and_says_the_same() {
    let prompt = prompt(1, 500);
    let expected = expected(&prompt);
    let large = chunks(100);
    let (prefix, cpu) = (["--prefix", &large], ["--local-cpu", &large]);
    for stack in 1..8 {
        let folder = tempfile::tempdir().unwrap();
        let disk = [
            "--local-disk",
            &large,
            "--local-disk-path",
            folder.path().to_str().unwrap(),
        ];
        let mut arguments: Vec<&str> = Vec::new();
        for (bit, tier) in [&prefix[..], &cpu[..], &disk[..]].into_iter().enumerate() {
            if stack >> bit & 1 == 1 {
                arguments.extend(tier);
            }
        }
        let engine = engine(&arguments);
        let nearest = arguments[0].trim_start_matches("--").to_owned();
        assert_eq!(
            engine.continue_greedily(&prompt, OUTPUT_TOKENS),
            (expected.clone(), 0),
            "{arguments:?}"
        );
        for _ in 0..2 {
            assert_eq!(
                engine.continue_greedily(&prompt, OUTPUT_TOKENS),
                (expected.clone(), 448),
                "{arguments:?}"
            );
        }
        assert_eq!(
            engine.metric("builtin:tier_hit_tokens_total", &nearest),
            896.0
        );
        let (name, queries) = if nearest == "prefix" {
            ("prefix", 1500.0)
        } else {
            ("external_prefix", 1500.0)
        };
        assert_eq!(
            engine.metric(&format!("vllm:{name}_cache_hits_total"), ""),
            896.0
        );
        assert_eq!(
            engine.metric(&format!("vllm:{name}_cache_queries_total"), ""),
            queries
        );
    }
}

#[test]
fn a_prompt_of_whole_chunks_computes_its_last_one_again() {
    let prompt = prompt(2, 256);
    let expected = expected(&prompt);
    let engine = engine(&["--prefix", &chunks(20), "--local-cpu", &chunks(20)]);
    assert_eq!(
        engine.continue_greedily(&prompt, OUTPUT_TOKENS),
        (expected.clone(), 0)
    );
    assert_eq!(
        engine.continue_greedily(&prompt, OUTPUT_TOKENS),
        (expected, 192)
    );
}

#[test]
fn a_shared_beginning_is_reused_and_the_rest_is_not() {
    let first = prompt(3, 300);
    let mut second = first[..200].to_vec();
    second.extend(prompt(4, 100));
    let expected = expected(&second);
    let engine = engine(&["--local-cpu", &chunks(20)]);
    engine.continue_greedily(&first, 1);
    assert_eq!(
        engine.continue_greedily(&second, OUTPUT_TOKENS),
        (expected, 192)
    );
}

#[test]
fn files_serve_after_a_restart_and_damage_is_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = prompt(5, 500);
    let expected = expected(&prompt);
    let capacity = chunks(100);
    let arguments = [
        "--local-disk",
        &capacity,
        "--local-disk-path",
        folder.path().to_str().unwrap(),
    ];
    let start = || engine(&arguments);
    assert_eq!(start().continue_greedily(&prompt, OUTPUT_TOKENS).1, 0);
    assert_eq!(
        start().continue_greedily(&prompt, OUTPUT_TOKENS),
        (expected.clone(), 448)
    );
    let files = chunk_files(folder.path());
    assert_eq!(files.len(), 7);
    for damage in ["flip", "cut", "empty"] {
        let mut bytes = fs::read(&files[3]).unwrap();
        match damage {
            "flip" => bytes[72 + CHUNK_BYTES / 2] ^= 4,
            "cut" => bytes.truncate(CHUNK_BYTES),
            _ => bytes.clear(),
        }
        fs::write(&files[3], bytes).unwrap();
        let engine = start();
        let (text, cached) = engine.continue_greedily(&prompt, OUTPUT_TOKENS);
        assert_eq!(text, expected, "{damage}");
        assert!(
            cached < 448 && cached % 64 == 0,
            "{damage}: {cached} tokens"
        );
        assert_eq!(
            engine.metric("builtin:tier_checksum_failures_total", ""),
            1.0,
            "{damage}"
        );
        assert_eq!(
            engine.continue_greedily(&prompt, OUTPUT_TOKENS),
            (expected.clone(), 448),
            "{damage}"
        );
    }
    let other_seed = engine(&[&arguments[..], &["--seed", "9"]].concat());
    assert_eq!(
        other_seed.continue_greedily(&prompt, 1).1,
        0,
        "another model's files were used"
    );
}

#[test]
fn full_tiers_evict_and_keep_to_their_capacity() {
    let folder = tempfile::tempdir().unwrap();
    let prompts: Vec<_> = (10..14).map(|seed| prompt(seed, 200)).collect();
    let without = engine(&[]);
    let expected: Vec<_> = prompts
        .iter()
        .map(|prompt| without.continue_greedily(prompt, OUTPUT_TOKENS).0)
        .collect();
    let (capacity, path) = (chunks(7), folder.path().to_str().unwrap());
    let disk = ["--local-disk", &capacity, "--local-disk-path", path];
    for arguments in [
        &["--prefix", &capacity][..],
        &["--local-cpu", &capacity],
        &disk,
    ] {
        let engine = engine(arguments);
        let mut hits = 0;
        for round in 0..3 {
            for (prompt, expected) in prompts.iter().zip(&expected) {
                let (text, cached) = engine.continue_greedily(prompt, OUTPUT_TOKENS);
                assert_eq!(&text, expected, "{arguments:?} in round {round}");
                hits += cached;
                assert!(
                    engine.metric("builtin:tier_used_bytes", "")
                        <= engine.metric("builtin:tier_capacity_bytes", "")
                );
                let bytes: u64 = chunk_files(folder.path())
                    .iter()
                    .map(|file| file.metadata().unwrap().len())
                    .sum();
                assert!(bytes <= capacity.parse().unwrap());
            }
        }
        // Four contexts of three chunks in rotation: the least recently used one is always the next.
        assert_eq!(hits, 0, "{arguments:?}");
        assert!(engine.metric("builtin:tier_evicted_chunks_total", "") > 0.0);
        let last = &prompts[3];
        assert_eq!(
            engine.continue_greedily(last, OUTPUT_TOKENS),
            (expected[3].clone(), 192),
            "{arguments:?}"
        );
    }
}

#[test]
fn generated_tokens_are_reused_from_where_they_are_kept() {
    let (prompt, question) = (prompt(20, 100), prompt(21, 20));
    let without = engine(&[]);
    let next_turn = |engine: &Engine| {
        let (reply, _) = engine.continue_greedily(&prompt, 100);
        let body = serde_json::json!({"prompt": reply});
        let reply = engine.post("/tokenize", &body).json()["tokens"].clone();
        let reply: Vec<u32> = serde_json::from_value(reply).unwrap();
        assert_eq!(reply.len(), 100);
        let turn: Vec<u32> = prompt
            .iter()
            .chain(&reply)
            .copied()
            .chain(question.iter().copied())
            .collect();
        engine.continue_greedily(&turn, OUTPUT_TOKENS)
    };
    let (expected, _) = next_turn(&without);
    let large = chunks(50);
    for (arguments, cached) in [
        (&["--prefix", &large][..], 192),
        (&["--local-cpu", &large], 64),
        (&["--local-cpu", &large, "--save-decode-cache"], 192),
    ] {
        assert_eq!(
            next_turn(&engine(arguments)),
            (expected.clone(), cached),
            "{arguments:?}"
        );
    }
}
