//! What the program logs, for debugging: all interfaces log into one ring.

use std::sync::mpsc::{self, Sender};

use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Dataplane;
use super::error::DataplaneError;
use super::pins::shared_maps;
use super::program::{OBJECT, object_error};
use super::record::Record;

/// Sends each record on as a line.
struct Lines(Sender<String>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // The other end lives as long as the logger.
        let _ = self.0.send(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

impl Dataplane {
    /// Whether a program logs anything at all.
    ///
    /// # Errors
    ///
    /// If what was attached cannot be read.
    pub fn is_logging(&self) -> Result<bool, DataplaneError> {
        Ok(Record::read(&self.paths)?
            .interface
            .values()
            .any(|interface| interface.log_level > 0))
    }

    /// Gives every line that is logged to `tell`, until interrupted or `tell` fails.
    ///
    /// # Errors
    ///
    /// If the ring cannot be read.
    pub fn follow_log<E>(
        &self,
        mut tell: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Result<(), E>, DataplaneError> {
        let refused = |error| DataplaneError::kernel("read the log of the program", error);
        let mut ebpf = self.maps()?;
        let (sender, lines) = mpsc::channel();
        let logger = EbpfLogger::init_with_logger(&mut ebpf, Lines(sender))
            .map_err(|error| refused(std::io::Error::other(error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(refused)?;
        runtime.block_on(async {
            // SAFETY: the logger owns the ring's descriptor, and keeps it open as long as it lives.
            let ring = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
            let mut ring = ring.map_err(|error| refused(error.into()))?;
            let interrupted = tokio::signal::ctrl_c();
            tokio::pin!(interrupted);
            loop {
                // What is there already comes first.
                ring.get_mut().flush();
                for line in lines.try_iter() {
                    if let Err(error) = tell(&line) {
                        return Ok(Err(error));
                    }
                }
                tokio::select! {
                    ready = ring.readable_mut() => ready.map_err(refused)?.clear_ready(),
                    _ = &mut interrupted => return Ok(Ok(())),
                }
            }
        })
    }

    /// The object with the maps that are pinned, and nothing loaded: aya's logger takes its ring from nothing else.
    fn maps(&self) -> Result<Ebpf, DataplaneError> {
        let mut loader = EbpfLoader::new();
        for name in shared_maps() {
            loader.map_pin_path(name, self.pins.path(name));
        }
        loader.load(OBJECT).map_err(object_error)
    }
}
