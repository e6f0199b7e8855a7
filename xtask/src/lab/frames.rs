//! Tells what the guest's first process says from what the command says: both come by one serial port.

/// Separates the command's output from the lines with which init frames it.
#[derive(Debug)]
pub(super) struct Frames {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// The guest's uptime when its command started.
    pub(super) boot: Option<String>,
    /// The command's exit code.
    pub(super) exit: Option<u8>,
}

impl Frames {
    /// A stream whose frames carry this token.
    pub(super) fn new(token: &str) -> Self {
        Self {
            mark: format!("\u{1}{token} ").into_bytes(),
            held: Vec::new(),
            boot: None,
            exit: None,
        }
    }

    /// Takes bytes in; gives those of the command back. What may be part of a frame is held.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend(bytes);
        let mut out = Vec::new();
        loop {
            let Some(start) = self.held.iter().position(|byte| *byte == self.mark[0]) else {
                out.append(&mut self.held);
                return out;
            };
            out.extend(self.held.drain(..start));
            let n_seen = self.held.len().min(self.mark.len());
            if self.held[..n_seen] != self.mark[..n_seen] {
                out.extend(self.held.drain(..1));
                continue;
            }
            let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
                return out;
            };
            let frame: Vec<u8> = self.held.drain(..=end).skip(self.mark.len()).collect();
            let frame = String::from_utf8_lossy(&frame).into_owned();
            match frame.trim().split_once(' ') {
                Some(("boot", up)) => self.boot = Some(up.to_owned()),
                Some(("exit", code)) => self.exit = code.parse().ok(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_the_stream_is_cut() {
        let stream = b"firmware\n\x01tok boot 1.5\nhel\x01lo\nno newline\x01tok exit 7\n";
        for cut in 0..stream.len() {
            let mut frames = Frames::new("tok");
            let mut out = frames.take(&stream[..cut]);
            out.extend(frames.take(&stream[cut..]));
            assert_eq!(
                String::from_utf8_lossy(&out),
                "firmware\nhel\x01lo\nno newline",
                "cut at {cut}"
            );
            assert_eq!((frames.boot.as_deref(), frames.exit), (Some("1.5"), Some(7)));
        }
    }
}
