//! Reads the initscript's configuration files from disk for `script-config`, which touches no file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::read::{bounded, open_given};
use files::{FileError, FileSystem};
use installer::{CONFIGURATION_LINK, OPTIONS_LINK};
#[cfg(feature = "host")]
use script_config::Severity;
use script_config::{ConfigProblem, Configuration, SourceText, conf_d_order, conf_d_warning};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::is_directory;

/// Where the global file is unless `-c` says otherwise (INIT-FILE-01).
pub(crate) const DEFAULT_CONFIG: &str = "/etc/systemtap/config";

/// Most bytes of a configuration file that are read; real ones have a few kilobytes.
const MAX_CONFIG: u64 = 1 << 20;

/// What files mean, and what is wrong with them.
pub(crate) type Understood = (Configuration, Vec<ConfigProblem>);

/// The effective configuration, what is wrong with it, and when its newest file changed.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) configuration: Configuration,
    /// What the files say, the global one first.
    files: Vec<SourceText>,
    pub(crate) problems: Vec<ConfigProblem>,
    /// Files that couldn't be read at all; the others count. A build takes that for an error, a host goes on.
    pub(crate) unreadable: Vec<Failure>,
    /// Seconds since 1970; 0 without files.
    #[cfg_attr(not(feature = "farm"), expect(dead_code, reason = "only `build` uses it"))]
    pub(crate) modified: u64,
}

impl Loaded {
    /// The files that were read.
    #[cfg(feature = "farm")]
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| Path::new(&file.path))
    }

    /// What a host says of its configuration: of a file that counts for nothing its first line that is to blame, else each problem.
    /// What a bundle's farm was warned of isn't the host's to mend.
    #[cfg(feature = "host")]
    pub(crate) fn words_for_a_host(&self) -> Vec<String> {
        let left_out = self.configuration.left_out(&self.problems);
        let is_whole = |problem: &&ConfigProblem| {
            let file = problem.place().map(|place| &*place.file);
            left_out.iter().all(|out| out.place().map(|place| &*place.file) != file)
        };
        let others = self.problems.iter().filter(|problem| problem.severity() > Severity::Note);
        let others = others.filter(is_whole).filter(|problem| !is_placed(problem));
        left_out.iter().map(|problem| problem.leaves_out()).chain(others.map(in_words)).collect()
    }

    /// What this host says itself, in other files than those that an install has put there for the initscript. What it adds to a
    /// bundle's options with `+=` is added to them. The last file counts for nothing here: 0.1.0 had the options there.
    pub(crate) fn of_this_host(&self) -> Configuration {
        let is_called =
            |file: &SourceText, name: &str| Path::new(&file.path).file_name() == Some(name.as_ref());
        let mut all = self.files.clone();
        all.retain(|file| !is_called(file, CONFIGURATION_LINK));
        let mut own = all.clone();
        own.retain(|file| !is_called(file, OPTIONS_LINK));
        Configuration::of_host(&own, &all)
    }
}

/// Reads the global file and the conf.d that it names, and runs nothing. A missing default file means defaults; a missing
/// file that was asked for is an error (INIT-CLI-07: the original went on silently).
pub(crate) fn load(given: Option<&Path>) -> Result<Loaded, Failure> {
    load_with(given, &mut |files| Ok(Configuration::load(files)))
}

/// As [`load`], with another way to make a configuration of the files. It is asked twice: which conf.d it is depends on the
/// global file alone.
pub(crate) fn load_with(
    given: Option<&Path>,
    understand: &mut dyn FnMut(&[SourceText]) -> Result<Understood, Failure>,
) -> Result<Loaded, Failure> {
    let path = given.unwrap_or(Path::new(DEFAULT_CONFIG));
    let mut reader = Reader::default();
    reader.global(path, given.is_some())?;
    let conf_d = understand(&reader.files)?.0.parameters().config_path.clone();
    reader.conf_d(&conf_d);
    let Reader { files, mut problems, unreadable, modified } = reader;
    let (configuration, found) = understand(&files)?;
    problems.extend(found);
    Ok(Loaded { configuration, files, problems, unreadable, modified })
}

/// Collects files, the global one first, and what is wrong with them.
#[derive(Default)]
struct Reader {
    files: Vec<SourceText>,
    problems: Vec<ConfigProblem>,
    unreadable: Vec<Failure>,
    modified: u64,
}

impl Reader {
    /// The global file keeps the first place, also if it is skipped.
    fn global(&mut self, path: &Path, required: bool) -> Result<(), Failure> {
        let before = self.files.len();
        if required && path.is_dir() {
            return Err(is_directory(format_args!("configuration {}", path.display()), "a file")
                .hint("name the initscript's global configuration file with -c, or leave -c away"));
        }
        // One that was named may be a pipe, as the shell makes it of `<(command)`; the usual one is a file.
        let file = if required { open_given(path) } else { open_plain(path) };
        match file.map_err(FileError::into_source).and_then(|file| self.file(path, &file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && required => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("there is no configuration file {}", path.display()),
                )
                .hint("name the initscript's global configuration file with -c, or leave -c away"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.cannot_read(path, &error),
            _ => {}
        }
        if self.files.len() == before {
            self.files.push(SourceText { path: path.display().to_string(), text: String::new() });
        }
        Ok(())
    }

    /// The files of conf.d, in their order; none if there is no such directory.
    fn conf_d(&mut self, directory: &Path) {
        let names = match names_in(directory) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.cannot_read(directory, &error),
        };
        let shown = directory.display().to_string();
        self.problems.extend(names.iter().filter_map(|name| conf_d_warning(&shown, name)));
        for name in conf_d_order(names.iter().map(String::as_str)) {
            let path = directory.join(name);
            let file = open_plain(&path).map_err(FileError::into_source);
            if let Err(error) = file.and_then(|file| self.file(&path, &file)) {
                self.cannot_read(&path, &error);
            }
        }
    }

    fn file(&mut self, path: &Path, file: &fs::File) -> io::Result<()> {
        let time = file.metadata()?.modified()?;
        let too_large = |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                io::Error::new(error.kind(), "it has more than 1 MiB, so it is no configuration")
            }
            _ => error,
        };
        let bytes = bounded(file, MAX_CONFIG).map_err(too_large)?;
        let seconds = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.modified = seconds.max(self.modified);
        match SourceText::from_bytes(&path.display().to_string(), &bytes) {
            Ok(text) => self.files.push(text),
            Err(problem) => self.problems.push(problem),
        }
        Ok(())
    }

    fn cannot_read(&mut self, path: &Path, error: &io::Error) {
        let failure =
            Failure::of(Exit::Failed, error).about(format_args!("configuration {}", path.display()));
        self.unreadable.push(failure);
    }
}

/// Opens a regular file, or one that a link leads to.
fn open_plain(path: &Path) -> Result<fs::File, FileError> {
    let absolute = std::path::absolute(path).map_err(|error| FileError::new("open", path, error))?;
    FileSystem::open("/")?.open_file(absolute)
}

/// The names of regular files, and links to them, in conf.d (INIT-FILE-02), sorted. One that isn't UTF-8 can't be the name of
/// a file that this program reads, and is shown as far as it can be.
fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    let files = paths.iter().filter(|path| path.is_file());
    let names = files.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// `TEMP_PATH`, if the configuration sets it (README 4.1.4). Its default, `/tmp`, is what a job has anyway: a private one in
/// memory.
#[cfg(feature = "farm")]
pub(crate) fn chosen_temp_path(configuration: &Configuration) -> Option<PathBuf> {
    configuration.origin("TEMP_PATH").map(|_| configuration.parameters().temp_path.clone())
}

/// Whether a problem is of a file that an install has put there.
#[cfg(feature = "host")]
fn is_placed(problem: &ConfigProblem) -> bool {
    let name = problem.place().and_then(|place| Path::new(&*place.file).file_name());
    name.is_some_and(|name| name == OPTIONS_LINK || name == CONFIGURATION_LINK)
}

/// A problem after a word of the program's own, such as `warning:`: place, message, id and the next step.
pub(crate) fn in_words(problem: &ConfigProblem) -> String {
    let place = problem.place().map(|place| format!("{place}: ")).unwrap_or_default();
    format!("{place}{problem} [{}]\n  hint: {}", problem.id(), problem.next_step())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_is_no_configuration_and_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let world = tempfile::tempdir().unwrap();
        let at = |name: &str| world.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("fifo", at("link")).unwrap();
        fs::write(at("plain"), "").unwrap();
        open_plain(&at("plain")).unwrap();
        for name in ["fifo", "link"] {
            open_plain(&at(name)).unwrap_err();
        }
    }

    #[test]
    fn what_an_install_has_put_there_is_not_the_hosts_own() {
        let world = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(world.path().join(name), text).unwrap();
        fs::create_dir(world.path().join("conf.d")).unwrap();
        let conf_d = world.path().join("conf.d");
        write("config", &format!("CONFIG_PATH={}\nb_OPT='-s 2'\n", conf_d.display()));
        write("conf.d/local.conf", "a_OPT='-s 4'\n");
        let of_all = "a_OPT=${a_OPT:-'-s 1'}\nb_OPT=${b_OPT:-'-s 1'}\nc_OPT=${c_OPT:-'-s 1'}\nd_OPT=${d_OPT:-'-s 1'}\n";
        write(&format!("conf.d/{OPTIONS_LINK}"), of_all);
        write("conf.d/more.conf", "d_OPT+=' -DX=1'\n");
        // 0.1.0 had everything in the last one.
        write(&format!("conf.d/{CONFIGURATION_LINK}"), "AUTOCOMPILE=no\na_OPT='-s 9'\nc_OPT='-s 9'\n");
        let loaded = load(Some(&world.path().join("config"))).unwrap();
        assert!(!loaded.configuration.parameters().auto_compile);
        let own = loaded.of_this_host();
        let options =
            ["a_OPT", "b_OPT", "c_OPT", "d_OPT"].map(|name| own.environment().text(name).map(str::to_owned));
        assert_eq!(options, [Some("-s 4".into()), Some("-s 2".into()), None, Some("-s 1 -DX=1".to_owned())]);
    }
}
