//! A run of the command line: discover → read → plan → preflight → execute → report, each stage's output the next one's only input.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
};

use reports::exit::Exit;
use schemas::{manifest::Ending, plan::Plan};

use crate::{
    args::RunArgs,
    compatibility::{self, Finding},
    devices,
    discover::{self, DiscoverError},
    execute::{self, Executed, RunInput},
    interpreter, model_facts, plan, preflight,
    process::{Interruptions, Kept},
    profile::{self, Chosen},
    progress::Verbosity,
    read::{self, Loaded},
    sharing::{self, Sharing},
    versions::{self, Asking, Versions},
};

/// Does what the arguments say.
pub fn run(args: &RunArgs) -> ExitCode {
    match stages(args) {
        Ok(exit) => exit.into(),
        Err((exit, text)) => {
            tell(text.trim_end());
            exit.into()
        }
    }
}

type Failed = (Exit, String);

fn stages(args: &RunArgs) -> Result<Exit, Failed> {
    let files = files(args)?;
    let color = anstream::stderr().is_terminal_colored();
    let loaded =
        read::scenarios(&files, color).map_err(|problems| (Exit::Usage, problems.to_string()))?;
    if args.list {
        return Ok(list(&loaded));
    }
    let chosen = profile::choose(&args.profile, color)
        .map_err(|error| (Exit::Usage, format!("error: {error}")))?;
    if !args.quiet {
        tell(&format!("profile {}: {}", chosen.name, chosen.reason));
    }
    let plans = plans(args, &loaded, &chosen)?;
    if !args.quiet {
        for (planned, scenario) in plans
            .iter()
            .zip(&loaded)
            .filter(|(planned, _)| planned.profile.name != chosen.name)
        {
            tell(&format!(
                "profile {} for {}: {}",
                planned.profile.name, scenario.name, planned.profile.reason
            ));
        }
    }
    if args.check {
        tell(&format!(
            "{} checked, no problem found",
            count(loaded.len(), "file")
        ));
        return Ok(Exit::AllMet);
    }
    let (loaded, plans) = in_order(args, loaded, plans);
    let sharing = shared(args, &plans);
    if args.dry_run {
        for (Planned { plan, profile }, sharing) in plans.iter().zip(&sharing) {
            say(&plan::print::text(plan, &profile.reason));
            if let Some(taken) = &sharing.taken {
                say(&format!(
                    "  {} shared with {}, whose process serves on\n",
                    taken.in_words(),
                    taken.scenario
                ));
            }
        }
        return Ok(Exit::AllMet);
    }
    let asking = Asking::start(
        &plans
            .iter()
            .map(|planned| &planned.plan)
            .collect::<Vec<_>>(),
    );
    let mut problems: Vec<String> = plans
        .iter()
        .flat_map(|planned| preflight::problems(&planned.plan, &args.output_dir))
        .collect();
    let versions = asking.finish();
    problems.extend(preflight::interpreter_problems(&versions));
    let found = plans.iter().map(|planned| {
        compatibility::findings(&planned.plan, &versions::of_plan(&planned.plan, &versions))
    });
    let found: Vec<Vec<Finding>> = found.collect();
    let of_versions = preflight::version_problems(&found.concat());
    problems.extend(of_versions.into_iter().collect::<BTreeSet<_>>());
    if !problems.is_empty() {
        let text = problems
            .iter()
            .map(|problem| format!("error: {problem}\n"))
            .collect::<String>();
        return Err((Exit::CouldNotRun, format!("{text}nothing was started")));
    }
    let warnings: Vec<Vec<String>> = found.into_iter().map(untested).collect();
    if !args.quiet {
        for warning in warnings.iter().flatten().collect::<BTreeSet<_>>() {
            tell(&format!("warning: {warning}"));
        }
    }
    execute_all(args, &loaded, &plans, &sharing, &versions, &warnings)
}

/// What nobody tried is no reason not to.
fn untested(findings: Vec<Finding>) -> Vec<String> {
    let texts = findings.into_iter().filter_map(|finding| match finding {
        Finding::Untested(text) => Some(text),
        Finding::Incompatible(_) => None,
    });
    texts.collect()
}

fn files(args: &RunArgs) -> Result<Vec<std::path::PathBuf>, Failed> {
    let default = [discover::DEFAULT_PATTERN.to_owned()];
    let patterns = if args.patterns.is_empty() && args.list {
        &default[..]
    } else {
        &args.patterns
    };
    if patterns.is_empty() {
        return Err((
            Exit::Usage,
            "error: name a scenario file or a pattern, like `runner 'scenarios/*.toml'`".into(),
        ));
    }
    discover::files(patterns, args.filter.as_ref()).map_err(|error| {
        let exit = match error {
            DiscoverError::NoMatch(_) | DiscoverError::NothingLeft(_) => Exit::NoFileMatched,
            DiscoverError::Pattern { .. } | DiscoverError::Read(_) => Exit::Usage,
        };
        (exit, format!("error: {error}"))
    })
}

fn list(loaded: &[Loaded]) -> Exit {
    let width = loaded
        .iter()
        .map(|scenario| scenario.name.chars().count())
        .max()
        .unwrap_or(0);
    for scenario in loaded {
        say(&format!(
            "{:<width$}  {}\n",
            scenario.name, scenario.scenario.question
        ));
    }
    Exit::AllMet
}

/// A plan and the profile that it was made for.
struct Planned {
    plan: Plan,
    profile: Chosen,
}

fn plans(args: &RunArgs, loaded: &[Loaded], found: &Chosen) -> Result<Vec<Planned>, Failed> {
    let overrides = plan::Overrides {
        model: args.model.clone(),
        ports: args.ports.clone(),
        trials: args.trials,
        seed: args.seed,
    };
    let devices = devices::names().len();
    let mut plans = Vec::new();
    let mut problems = String::new();
    for scenario in loaded {
        let model = overrides
            .model
            .as_deref()
            .or(scenario.scenario.model.as_deref());
        let chosen = profile::for_model(&args.profile, found, model)
            .map_err(|error| (Exit::Usage, format!("error: {error}")))?;
        let mut names = plan::resolve_model(
            &scenario.scenario,
            &chosen.profile,
            overrides.model.as_deref(),
        );
        names.declared = interpreter::expand(&names.declared);
        names.used = interpreter::expand(&names.used);
        match model_facts::read(&names.used) {
            Ok(facts) => {
                let plan = plan::build(plan::Inputs {
                    name: &scenario.name,
                    scenario: &scenario.scenario,
                    profile_name: &chosen.name,
                    profile: &chosen.profile,
                    overrides: &overrides,
                    names: &names,
                    facts: &facts,
                    python: &interpreter::search(chosen.profile.interpreter.as_ref()),
                    devices,
                });
                plans.push(Planned {
                    plan,
                    profile: chosen,
                });
            }
            Err(error) => {
                problems.push_str(&format!("error: {}: {error}\n", scenario.path.display()))
            }
        }
    }
    if problems.is_empty() {
        Ok(plans)
    } else {
        Err((Exit::CouldNotRun, problems))
    }
}

/// Scenarios that can share an engine follow each other. Without a warm-up nothing is shared: a process that has served already would be the only warm one.
fn in_order(
    args: &RunArgs,
    loaded: Vec<Loaded>,
    plans: Vec<Planned>,
) -> (Vec<Loaded>, Vec<Planned>) {
    if args.no_warm_up {
        return (loaded, plans);
    }
    let order = sharing::order(
        &plans
            .iter()
            .map(|planned| &planned.plan)
            .collect::<Vec<_>>(),
    );
    let mut scenarios: Vec<_> = loaded.into_iter().zip(plans).map(Some).collect();
    order
        .into_iter()
        .filter_map(|index| scenarios[index].take())
        .unzip()
}

fn shared(args: &RunArgs, plans: &[Planned]) -> Vec<Sharing> {
    if args.no_warm_up {
        return vec![Sharing::default(); plans.len()];
    }
    sharing::between(
        &plans
            .iter()
            .map(|planned| &planned.plan)
            .collect::<Vec<_>>(),
    )
}

fn execute_all(
    args: &RunArgs,
    loaded: &[Loaded],
    plans: &[Planned],
    sharing: &[Sharing],
    versions: &BTreeMap<PathBuf, Versions>,
    warnings: &[Vec<String>],
) -> Result<Exit, Failed> {
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            (
                Exit::CouldNotRun,
                format!("error: cannot start the runtime: {error}"),
            )
        })?;
    let mut worst = Exit::AllMet;
    let mut kept: Vec<Kept> = Vec::new();
    let all = loaded.iter().zip(plans).zip(sharing).zip(warnings);
    for (((scenario, Planned { plan, profile }), sharing), warnings) in all {
        let client_cores = profile.profile.cores.client.clone().unwrap_or_default();
        let input = RunInput {
            loaded: scenario,
            plan,
            profile_reason: &profile.reason,
            client_cores: &client_cores,
            warm_up: !args.no_warm_up,
            versions: versions::of_plan(plan, versions),
            warnings,
            outputs: &args.output_dir,
            verbosity,
            sharing,
        };
        let exit = one(args, &runtime, input, &mut kept);
        worst = worst.worse(exit);
        if exit == Exit::Interrupted {
            break;
        }
    }
    runtime.block_on(stop(&mut kept));
    Ok(worst)
}

/// Ends what was to go on to a next scenario.
async fn stop(kept: &mut Vec<Kept>) {
    for process in kept.drain(..) {
        process.stop().await;
    }
}

/// One scenario: execute, report, say what came out.
fn one(
    args: &RunArgs,
    runtime: &tokio::runtime::Runtime,
    input: RunInput<'_>,
    kept: &mut Vec<Kept>,
) -> Exit {
    let plan = input.plan;
    if !args.quiet {
        tell(&format!("\n{}  {}", plan.scenario, plan.question));
        for substitution in &plan.substitutions {
            let schemas::plan::Substitution {
                what,
                declared,
                used,
                reason,
            } = substitution;
            tell(&format!(
                "  {what:<8} {used} instead of {declared} ({reason})"
            ));
        }
        for skipped in &plan.skipped {
            tell(&format!("  skipped  {}: {}", skipped.what, skipped.reason));
        }
    }
    let executed = match runtime.block_on(execute::run(input, kept)) {
        Ok(executed) => executed,
        Err(error) => {
            runtime.block_on(stop(kept));
            tell(&format!("error: {error}"));
            return Exit::CouldNotRun;
        }
    };
    if let Ending::Failed { reason } = &executed.ending {
        tell(&format!("error: {reason}"));
    }
    let interrupted = executed.interrupted;
    let exit = if kept.is_empty() {
        finish(args, &executed)
    } else {
        let args = args.clone();
        runtime.block_on(beside(move || finish(&args, &executed)))
    };
    if interrupted {
        exit.worse(Exit::Interrupted)
    } else {
        exit
    }
}

/// Does work on a thread of its own, while this one goes on following what lives between two scenarios. Somebody who wants the run to end meanwhile is heard.
async fn beside(work: impl FnOnce() -> Exit + Send + 'static) -> Exit {
    let mut work = tokio::task::spawn_blocking(work);
    let Ok(mut interruptions) = Interruptions::listen() else {
        return work.await.unwrap_or(Exit::CouldNotRun);
    };
    let mut so_far = Exit::AllMet;
    loop {
        tokio::select! {
            done = &mut work => return so_far.worse(done.unwrap_or(Exit::CouldNotRun)),
            _ = interruptions.next() => so_far = Exit::Interrupted,
        }
    }
}

/// Files and report of a run.
fn finish(args: &RunArgs, executed: &Executed) -> Exit {
    if args.no_report {
        return match reports::finish(&executed.folder) {
            Ok(()) => Exit::of_ending(&executed.ending),
            Err(error) => {
                tell(&format!("error: {error}"));
                Exit::CouldNotRun
            }
        };
    }
    match reports::report(&executed.folder) {
        Ok(reported) => {
            let color = anstream::stderr().is_terminal_colored();
            tell(reported.terminal(color, args.quiet).trim_end());
            reported.exit(args.strict)
        }
        Err(error) => {
            tell(&format!("error: {error}"));
            Exit::CouldNotRun
        }
    }
}

/// To a person.
fn tell(text: &str) {
    // A closed stderr is no reason to stop a run.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What was asked for, to stdout.
fn say(text: &str) {
    let _ = write!(anstream::stdout(), "{text}");
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Whether colours reach the reader.
trait Colored {
    fn is_terminal_colored(&self) -> bool;
}

impl Colored for anstream::AutoStream<std::io::Stderr> {
    fn is_terminal_colored(&self) -> bool {
        self.current_choice() != anstream::ColorChoice::Never
    }
}
