//! The figures as Markdown tables.

use crate::program::{Program, Start};

/// Prints the figures of all programs. If `targets` is true, also prints whether ml-app meets its targets. The targets
/// apply to the default model only.
pub fn print(programs: &[Program<'_>; 3], starts: &[Vec<Start>; 3], targets: bool) {
    println!("| exec → first 200, ms | median | p99 | min | CPU | RssAnon, MB | RSS, MB |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (program, starts) in programs.iter().zip(starts) {
        let times = sorted(starts, |start| start.first_response);
        let median_of = |value: fn(&Start) -> f64| median(&sorted(starts, value));
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            program.name,
            median(&times),
            times[(times.len() * 99).div_ceil(100) - 1],
            times[0],
            median_of(|start| start.cpu),
            median_of(|start| start.anonymous) / 1024.0,
            median_of(|start| start.resident) / 1024.0,
        );
    }

    print_phases(&starts[2]);

    let [floor, bare, served] =
        starts.each_ref().map(|starts| median(&sorted(starts, |start| start.first_response)));
    let anonymous = median(&sorted(&starts[2], |start| start.anonymous)) / 1024.0;
    let figures = [
        ("exec → first 200 against C", served / floor, "×", 6.0),
        ("exec → first 200 against actix-web", served / bare, "×", 1.5),
        ("RssAnon after the first response", anonymous, " MB", 5.0),
    ];
    if targets {
        println!("\n| | measured | target | |\n|---|--:|--:|---|");
    } else {
        println!("\n| | measured |\n|---|--:|");
    }
    for (name, measured, unit, target) in figures {
        let met = if measured <= target { "met" } else { "missed" };
        if targets {
            println!("| {name} | {measured:.1}{unit} | ≤ {target}{unit} | {met} |");
        } else {
            println!("| {name} | {measured:.1}{unit} |");
        }
    }
}

/// Prints the median of each phase.
fn print_phases(starts: &[Start]) {
    let names: Vec<&str> = starts[0].phases.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        println!("\nThe program reports no phases of its start in /metrics.");
        return;
    }
    println!("\n| phase | median, ms |\n|---|--:|");
    for (index, name) in names.iter().enumerate() {
        let time = median(&sorted(starts, |start| start.phases[index].1));
        println!("| {name} | {time:.2} |");
    }
}

fn sorted(starts: &[Start], value: impl Fn(&Start) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = starts.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[half - 1] + sorted[half]) / 2.0
    } else {
        sorted[half]
    }
}
