//! Figures for people, as Markdown.

use crate::program::{Program, Start};

/// For each program its starts; `targets` are for the default model.
pub fn print(programs: &[Program<'_>; 3], starts: &[Vec<Start>; 3], targets: bool) {
    println!("| exec → first 200, ms | median | p99 | min | CPU | RssAnon, MB | RSS, MB |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (program, starts) in programs.iter().zip(starts) {
        let times = sorted(starts, |start| start.answered);
        let of = |value: fn(&Start) -> f64| median(&sorted(starts, value));
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            program.name,
            median(&times),
            times[(times.len() * 99).div_ceil(100) - 1],
            times[0],
            of(|start| start.cpu),
            of(|start| start.anonymous) / 1024.0,
            of(|start| start.resident) / 1024.0,
        );
    }

    print_phases(&starts[2]);

    let [floor, bare, served] =
        starts.each_ref().map(|starts| median(&sorted(starts, |start| start.answered)));
    let anonymous = median(&sorted(&starts[2], |start| start.anonymous)) / 1024.0;
    let figures = [
        ("exec → first 200 against C", served / floor, "×", 6.0),
        ("exec → first 200 against actix-web", served / bare, "×", 1.5),
        ("RssAnon after the first answer", anonymous, " MB", 5.0),
    ];
    match targets {
        true => println!("\n| | measured | target | |\n|---|--:|--:|---|"),
        false => println!("\n| | measured |\n|---|--:|"),
    }
    for (name, measured, unit, target) in figures {
        let met = if measured <= target { "met" } else { "missed" };
        match targets {
            true => println!("| {name} | {measured:.1}{unit} | ≤ {target}{unit} | {met} |"),
            false => println!("| {name} | {measured:.1}{unit} |"),
        }
    }
}

fn print_phases(starts: &[Start]) {
    let names: Vec<&str> = starts[0].phases.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        println!("\nThis ml-app has no /metrics: it tells no phases of its start.");
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
    match sorted.len() % 2 {
        0 => (sorted[half - 1] + sorted[half]) / 2.0,
        _ => sorted[half],
    }
}
