//! The command-line flags of the settings.

use super::setting::{Declared, DefaultValue};
use super::settings::{ALL, HOST, PORT};
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};

/// Unparsed settings from the command line. `Config::load` parses them together with the settings from the
/// environment, so that it can report all errors at once.
#[derive(Debug, Clone, Default)]
pub struct Flags(
    /// Long name and value of each flag.
    Vec<(&'static str, String)>,
);

/// The flags `--host` and `--port`, for commands that only need the server's address.
#[derive(Debug, Clone, Default)]
pub struct SocketFlags(pub Flags);

/// The settings of the socket's address.
const SOCKET: &[&dyn Declared] = &[&HOST, &PORT];

impl Flags {
    /// Returns the value of the flag `--LONG`, if it is given.
    pub fn get(&self, long: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == long).map(|(_, value)| value.as_str())
    }

    #[cfg(test)]
    pub fn new(flags: &[(&'static str, &str)]) -> Flags {
        Flags(flags.iter().map(|(long, value)| (*long, (*value).to_owned())).collect())
    }

    fn from_matches(settings: &[&dyn Declared], matches: &ArgMatches) -> Flags {
        let long = settings.iter().filter_map(|setting| setting.flag().long());
        Flags(
            long.filter_map(|long| Some((long, matches.get_one::<String>(long)?.clone())))
                .collect(),
        )
    }
}

fn args(settings: &[&'static dyn Declared]) -> impl Iterator<Item = Arg> {
    settings.iter().filter_map(|setting| {
        let long = setting.flag().long()?;
        let paragraphs = setting.help();
        let summary = paragraphs[0].trim_end_matches('.');
        let notes = notes(*setting);
        let arg = Arg::new(long)
            .long(long)
            .value_name(setting.placeholder())
            .help(format!("{summary} {notes}"))
            .long_help(format!(
                "{}\n\nAccepts {}.\n\n{notes}",
                paragraphs.join("\n\n"),
                setting.expected()
            ));
        Some(match setting.flag().short() {
            Some(short) => arg.short(short),
            None => arg,
        })
    })
}

/// Returns the environment variables and the default in clap's notation: `[env: NAME] [default: VALUE]`.
fn notes(setting: &dyn Declared) -> String {
    let variables = setting.variables().join(", ");
    let default = match setting.default() {
        DefaultValue::Unset => "none",
        DefaultValue::Fixed(default) | DefaultValue::Computed(default) => default,
    };
    format!("[env: {variables}] [default: {default}]")
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, Error> {
        Ok(Flags::from_matches(ALL, matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Flags::from_matches(ALL, matches);
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(args(ALL))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for SocketFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SocketFlags, Error> {
        Ok(SocketFlags(Flags::from_matches(SOCKET, matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0 = Flags::from_matches(SOCKET, matches);
        Ok(())
    }
}

impl clap::Args for SocketFlags {
    fn augment_args(command: Command) -> Command {
        command.args(args(SOCKET))
    }

    fn augment_args_for_update(command: Command) -> Command {
        SocketFlags::augment_args(command)
    }
}
