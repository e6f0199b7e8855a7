//! Why a packet was treated as it was: indices of the map of totals.

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Index of a total. The first ones exclude each other: their sum is the number of packets seen.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Outcome { $($(#[$doc])* $name),+ }

        impl Outcome {
            /// All of them, in the order of the map.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// Its name in JSON and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

outcomes! {
    /// Not IP: passed.
    NotIp = "not_ip",
    /// Says it is IP, but no IP header could be read: passed.
    Unparsable = "unparsable",
    /// No rule covers the destination: passed.
    Unlimited = "unlimited",
    /// The destination is exempt: passed.
    Exempt = "exempt",
    /// Multicast, broadcast, link-local or loopback, or what keeps the link alive: passed.
    NeverLimited = "never_limited",
    /// Within the rate: sent at once.
    Conforming = "conforming",
    /// Beyond the rate: given a later departure.
    Paced = "paced",
    /// Would have waited beyond the horizon: dropped.
    BeyondHorizon = "beyond_horizon",
    /// Would have waited in the send buffer of a socket that serves others too, where enough wait already: dropped.
    SharedFull = "shared_full",
    /// A rule says that every packet is dropped.
    Blocked = "blocked",
    /// A rule names a bucket that does not exist: passed. Never happens unless maps were tampered with.
    NoBucket = "no_bucket",
    /// Also counted: marked CE.
    Marked = "marked",
    /// Also counted: a client got no bucket of his own, because there are too many.
    ClientsFull = "clients_full",
    /// Also counted: charged by the fallback after too many other CPUs came first.
    Contended = "contended",
    /// Also counted: an implausible stamp was replaced.
    Restamped = "restamped",
    /// Also counted: the helper could not stamp the packet, a plain store did.
    RawStamped = "raw_stamped",
}

/// Whether the packet whose outcome has this index is dropped.
#[inline]
#[must_use]
pub const fn is_dropped(index: u32) -> bool {
    index >= Outcome::BeyondHorizon as u32 && index <= Outcome::Blocked as u32
}

/// Number of totals.
#[expect(clippy::cast_possible_truncation, reason = "a dozen fits any integer")]
pub const N_OUTCOMES: u32 = Outcome::ALL.len() as u32;

/// How many of the totals exclude each other: those before [`Outcome::Marked`].
pub const N_EXCLUSIVE: u32 = Outcome::Marked as u32;
