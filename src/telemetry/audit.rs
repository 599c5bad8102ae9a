//! The audit's writer: a thread of its own behind a bounded queue. An exchange never waits for it; what does not fit is
//! counted as lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Lines and bytes that may wait for the writer.
const QUEUE_LINES: usize = 8192;
const QUEUE_BYTES: usize = 64 << 20;
/// Bytes that go out in one write, about.
const BATCH: usize = 64 << 10;
/// How long a dropped audit waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    None,
    Stdout,
    /// Appended to; created with mode 0600.
    File(PathBuf),
}

/// Takes lines and writes them in order, whole. Dropping it writes what waits.
pub struct Audit {
    content: bool,
    /// None: nothing is written.
    queue: Option<Queue>,
    counts: Arc<Counts>,
}

struct Queue {
    sender: SyncSender<Message>,
    /// Hung up by the writer's end. In a mutex because a receiver is not `Sync`.
    ended: Mutex<Receiver<()>>,
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Counts {
    lost: AtomicU64,
    waiting_bytes: AtomicUsize,
}

impl Audit {
    /// Opens the target and starts the writer. `content`: lines hold the judged texts too.
    pub fn open(target: Target, content: bool) -> io::Result<Self> {
        let sink: Box<dyn Sink> = match target {
            Target::None => return Ok(Audit { content, queue: None, counts: Arc::default() }),
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(LogFile { file: append(&path)?, path }),
        };
        Self::start(sink, content, QUEUE_LINES)
    }

    /// Whether lines hold the judged texts too.
    pub fn content(&self) -> bool {
        self.content
    }

    /// Lines that were not written: the queue was full, or the target failed.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Opens the file anew under its name, after it was moved away.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            // A full queue means that the old file is written to for a while longer; the next signal tries again.
            let _ = queue.sender.try_send(Message::Reopen);
        }
    }

    /// Blocks until every line told before is written, or `within` has passed. Says whether all is written.
    pub fn flush(&self, within: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        let until = Instant::now() + within;
        let (done, wait) = sync_channel(1);
        let mut message = Message::Flush(done);
        loop {
            match queue.sender.try_send(message) {
                Ok(()) => return wait.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok(),
                Err(TrySendError::Full(back)) if Instant::now() < until => message = back,
                Err(_) => return false,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes a line, if any is wanted, and leaves it to the writer. `line` is told whether content may be in it, and
    /// ends in a line feed.
    pub(super) fn tell(&self, line: impl FnOnce(bool) -> Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        let line = line(self.content);
        let size = line.len();
        let waiting = self.counts.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        if waiting.saturating_add(size) > QUEUE_BYTES || queue.sender.try_send(Message::Line(line)).is_err() {
            self.counts.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start(sink: Box<dyn Sink>, content: bool, lines: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(lines);
        let (end, ended) = sync_channel(0);
        let counts = Arc::<Counts>::default();
        let writer = Writer { sink, counts: counts.clone(), buffer: Vec::new(), torn: false, failing: false };
        std::thread::Builder::new().name("audit".into()).spawn(move || {
            writer.run(&receiver);
            drop(end);
        })?;
        Ok(Audit { content, queue: Some(Queue { sender, ended: Mutex::new(ended) }), counts })
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Some(Queue { sender, ended }) = self.queue.take() {
            drop(sender);
            // Nothing is ever sent: this ends when the writer has, or in time.
            let _ = ended.into_inner().map(|ended| ended.recv_timeout(LAST_LINES));
        }
    }
}

/// What the writer writes to.
trait Sink: Write + Send {
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for io::Stdout {}

struct LogFile {
    file: File,
    path: PathBuf,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

struct Writer {
    sink: Box<dyn Sink>,
    counts: Arc<Counts>,
    buffer: Vec<u8>,
    /// The last write ended within a line.
    torn: bool,
    /// The last write failed, and it was logged.
    failing: bool,
}

impl Writer {
    /// Until the queue has no sender. Writes a batch when enough has come, or nothing more waits.
    fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let message = match queue.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    self.write();
                    match queue.recv() {
                        Ok(message) => message,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => return self.write(),
            };
            match message {
                Message::Line(line) => {
                    self.buffer.extend_from_slice(&line);
                    if self.buffer.len() >= BATCH {
                        self.write();
                    }
                }
                Message::Reopen => {
                    self.write();
                    if let Err(error) = self.sink.reopen() {
                        tracing::error!(%error, "the audit file could not be opened anew; the old one is kept");
                    }
                }
                Message::Flush(done) => {
                    self.write();
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let size = self.buffer.len();
        if self.torn {
            self.buffer.insert(0, b'\n');
        }
        let (written, result) = write_all(&mut *self.sink, &self.buffer);
        let (out, left) = self.buffer.split_at(written);
        self.torn = out.last().map_or(self.torn, |&byte| byte != b'\n');
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                let lost = left.iter().filter(|&&byte| byte == b'\n').count();
                self.counts.lost.fetch_add(lost as u64, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "audit lines are being lost");
                }
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(2 * BATCH);
        self.counts.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
    }
}

/// How much was written, and what stopped it.
fn write_all(sink: &mut dyn Sink, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, sink.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Takes what the script allows: each entry is a number of bytes, or a failure.
    struct Scripted {
        script: Vec<Option<usize>>,
        out: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = if self.script.is_empty() { Some(usize::MAX) } else { self.script.remove(0) };
            let n = n.ok_or(io::ErrorKind::StorageFull)?.min(bytes.len());
            self.out.lock().unwrap().extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Scripted {}

    /// Says that it would write, and writes when it is let.
    struct Gated {
        entered: SyncSender<()>,
        gate: Receiver<()>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.try_send(());
            self.gate.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Gated {}

    fn line(n: usize) -> Vec<u8> {
        format!("line {n}\n").into_bytes()
    }

    #[test]
    fn lines_are_appended_in_order_and_the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for round in 0..2 {
            let audit = Audit::open(Target::File(path.clone()), false).unwrap();
            (0..1000).for_each(|n| audit.tell(|_| line(round * 1000 + n)));
            assert!(audit.flush(SOON));
            assert_eq!(audit.lost(), 0);
        }
        let expected: Vec<u8> = (0..2000).flat_map(line).collect();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn dropping_it_writes_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(Target::File(path.clone()), false).unwrap();
        (0..100).for_each(|n| audit.tell(|_| line(n)));
        drop(audit);
        assert_eq!(std::fs::read(&path).unwrap(), (0..100).flat_map(line).collect::<Vec<u8>>());
    }

    #[test]
    fn a_moved_file_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.1"));
        let audit = Audit::open(Target::File(path.clone()), false).unwrap();
        audit.tell(|_| line(1));
        assert!(audit.flush(SOON));
        std::fs::rename(&path, &moved).unwrap();
        audit.reopen();
        audit.tell(|_| line(2));
        assert!(audit.flush(SOON));
        assert_eq!((std::fs::read(&moved).unwrap(), std::fs::read(&path).unwrap()), (line(1), line(2)));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Audit::open(Target::File(folder.path().join("none/audit.jsonl")), false).is_err());
    }

    #[test]
    fn a_full_queue_loses_lines_and_counts_them_and_nobody_waits() {
        let ((open, gate), (entered, stands)) = (sync_channel(64), sync_channel(1));
        let audit = Audit::start(Box::new(Gated { entered, gate }), false, 4).unwrap();
        audit.tell(|_| line(0));
        stands.recv_timeout(SOON).unwrap();
        (0..100).for_each(|n| audit.tell(|_| line(n)));
        assert_eq!(audit.lost(), 96, "the queue holds four");
        assert!(!audit.flush(Duration::from_millis(10)), "nothing can be written");
        (0..64).for_each(|_| open.send(()).unwrap());
        assert!(audit.flush(SOON));
        audit.tell(|_| line(0));
        assert!(audit.flush(SOON));
        assert_eq!(audit.lost(), 96, "there is room again");
        assert_eq!(audit.counts.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn bytes_that_wait_are_bounded() {
        let ((open, gate), (entered, _stands)) = (sync_channel(0), sync_channel(1));
        let audit = Audit::start(Box::new(Gated { entered, gate }), true, 64).unwrap();
        (0..3).for_each(|_| audit.tell(|_| vec![b'x'; QUEUE_BYTES / 2]));
        assert_eq!((audit.lost(), audit.counts.waiting_bytes.load(Ordering::Relaxed)), (1, QUEUE_BYTES));
        drop(open);
    }

    #[test]
    fn a_failing_target_loses_whole_lines_and_the_rest_stays_readable() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let script = vec![Some(3), None, Some(2), Some(99)];
        let audit = Audit::start(Box::new(Scripted { script, out: out.clone() }), false, 64).unwrap();
        audit.tell(|_| line(1));
        assert!(audit.flush(SOON));
        assert_eq!(audit.lost(), 1);
        audit.tell(|_| line(2));
        assert!(audit.flush(SOON));
        assert_eq!(String::from_utf8(out.lock().unwrap().clone()).unwrap(), "lin\nline 2\n");
        assert_eq!(audit.lost(), 1);
    }

    #[test]
    fn without_a_target_no_line_is_made() {
        let audit = Audit::open(Target::None, true).unwrap();
        audit.tell(|_| panic!("made"));
        assert!(audit.flush(SOON) && audit.lost() == 0);
    }

    #[test]
    fn content_is_asked_for_by_setting() {
        for content in [false, true] {
            let out = Arc::new(Mutex::new(Vec::new()));
            let audit = Audit::start(Box::new(Scripted { script: vec![], out: out.clone() }), content, 4).unwrap();
            audit.tell(|wanted| format!("{wanted}\n").into_bytes());
            drop(audit);
            assert_eq!(*out.lock().unwrap(), format!("{content}\n").into_bytes());
        }
    }
}
