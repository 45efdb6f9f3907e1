//! Ctrl-C, and TERM.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;

use child::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Failure;

/// The first signal that came; 0 while none has.
static CAME: AtomicI32 = AtomicI32::new(0);

/// How the command ends that a signal has ended.
pub(crate) fn exit() -> Option<Exit> {
    match CAME.load(Ordering::SeqCst) {
        0 => None,
        SIGINT => Some(Exit::Interrupted),
        _ => Some(Exit::Terminated),
    }
}

/// Ends the process by the signal that came, if one did: a shell then ends its script too, which it doesn't for an exit code.
pub(crate) fn end_by_it() {
    let signal = CAME.load(Ordering::SeqCst);
    if signal != 0 {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// The first Ctrl-C asks what runs to end, and what is done is kept; a second one ends the program at once.
pub(crate) fn cancel_on_signals(cancel: &Cancel) -> Result<(), Failure> {
    watch(&[SIGINT, SIGTERM], cancel)
}

/// As [`cancel_on_signals`], also for a terminal that is closed, and for Ctrl-\.
#[cfg(feature = "host")]
pub(crate) fn cancel_on_any_end(cancel: &Cancel) -> Result<(), Failure> {
    watch(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT], cancel)
}

/// The thread comes first: once a handler is there, a signal without anybody who hears of it would be lost. Where no thread can
/// be started, a signal ends the program at once, as if nobody watched.
fn watch(signals: &[i32], cancel: &Cancel) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::Failed, &error).about("can't watch for Ctrl-C");
    let cancel = cancel.clone();
    let (hand_over, taken) = mpsc::channel::<Signals>();
    let thread = std::thread::Builder::new().spawn(move || {
        let Ok(mut signals) = taken.recv() else { return };
        for (position, signal) in signals.forever().enumerate() {
            let _ = CAME.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
            cancel.cancel();
            if position > 0 {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    });
    if thread.is_ok() {
        // It can only have ended by a panic, and then nothing is left that could watch.
        let _ = hand_over.send(Signals::new(signals).map_err(failed)?);
    }
    Ok(())
}
