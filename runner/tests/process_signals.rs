//! Signals to the runner as events. Alone in its file: it signals its own process.

use std::process::Command;

use runner::process::{Interruption, Interruptions};

fn signal_self(signal: &str) {
    let pid = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .expect("kill is there")
            .success()
    );
}

#[tokio::test]
async fn the_first_signal_is_orderly_and_every_later_one_means_now() {
    let mut interruptions = Interruptions::listen().expect("handlers are allowed");
    signal_self("-HUP");
    assert_eq!(interruptions.next().await, Interruption::Orderly);
    for signal in ["-INT", "-INT", "-TERM"] {
        signal_self(signal);
        assert_eq!(interruptions.next().await, Interruption::Now);
    }
}
