//! One rule: whom it covers, and how fast it lets them be sent to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shaper_common::pacing::Limit;
use shaper_common::stamp::MAX_HORIZON_NS;

use super::amount::{AmountError, Burst, MAX_BURST_BYTES};
use super::deadline::Deadline;
use super::group::Group;
use super::per::Per;
use super::ports::Ports;
use super::prefix::Destination;
use super::rate::Rate;
use super::service::Service;
use crate::config::Source;

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the operator calls it.
    pub name: Option<String>,
    /// Whom it covers.
    pub destination: Destination,
    /// The service it is for; `None` is everything.
    pub service: Option<Arc<Service>>,
    /// What has a bucket of its own.
    pub per: Per,
    /// What it does.
    pub action: Action,
    /// The group it shares a limit with.
    pub group: Option<Arc<Group>>,
    /// When it ends.
    pub expires: Option<Deadline>,
    /// For people.
    pub comment: Option<String>,
    /// Who wrote it.
    pub source: Source,
}

/// What a rule does with the packets it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets them go.
    Unlimited,
    /// Drops them all.
    Block,
    /// Lets them go at a rate.
    Limit(RuleLimit),
}

/// Which rule: in one source, no two rules have the same. Ascending order is that of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target<'a> {
    /// Whom it covers.
    pub destination: Destination,
    /// Ports it is for; `None` is everything.
    pub ports: Option<&'a Ports>,
}

impl Rule {
    /// Which rule it is.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        Target {
            destination: self.destination,
            ports: self.service.as_ref().map(|service| &service.ports),
        }
    }

    /// How fast it lets packets go, if it limits them.
    #[must_use]
    pub fn limit(&self) -> Option<&RuleLimit> {
        match &self.action {
            Action::Limit(limit) => Some(limit),
            Action::Unlimited | Action::Block => None,
        }
    }

    /// Bytes per second: zero if it blocks, `None` if it is unlimited.
    #[must_use]
    pub fn bytes_per_sec(&self) -> Option<u64> {
        match &self.action {
            Action::Unlimited => None,
            Action::Block => Some(0),
            Action::Limit(limit) => Some(limit.rate.bytes_per_sec()),
        }
    }
}

/// How fast a rule lets packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLimit {
    /// Sustained rate on the wire.
    pub rate: Rate,
    /// Bytes an idle bucket lets go at once, besides one packet.
    pub burst_bytes: u64,
    /// Longest queue before packets are dropped.
    pub horizon_ns: u64,
    /// Queue above which packets are marked.
    pub ecn_ns: Option<u64>,
}

/// What rules have that do not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) burst: Burst,
    pub(super) horizon: Duration,
    pub(super) ecn: Option<Duration>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            burst: Burst::Time(Duration::from_millis(10)),
            horizon: Duration::from_millis(200),
            ecn: Some(Duration::from_millis(5)),
        }
    }
}

/// Bytes of a full Ethernet packet.
const FULL_PACKET_BYTES: u64 = 1514;

/// Defaults never fall below this many full packets: less burst would delay every pair of segments. A horizon below
/// the time of one 64 KiB packet before segmentation would drop all that follows it: BBR then loses a quarter
/// of 1 Mbit/s, waiting to try again.
const MIN_BURST_PACKETS: u64 = 2;
const MIN_HORIZON_PACKETS: u64 = 48;
/// A horizon that an operator names may be shorter, but one below the time of so many lets TCP stall.
const FEW_HORIZON_PACKETS: u64 = 16;
/// A threshold below the time of a packet or two would mark every packet of a slow destination.
const MIN_ECN_PACKETS: u64 = 2;

impl RuleLimit {
    /// A limit of `rate`, with what is not given from `defaults`.
    #[expect(clippy::option_option, reason = "not given is one thing, off another")]
    pub(super) fn new(
        rate: Rate,
        burst: Option<Burst>,
        horizon: Option<Duration>,
        ecn: Option<Option<Duration>>,
        defaults: &Defaults,
    ) -> Result<Self, AmountError> {
        let packets_ns = |packets| rate.time_ns(packets * FULL_PACKET_BYTES);
        let burst_bytes = match burst {
            Some(burst) => burst.bytes(rate)?,
            None => defaults
                .burst
                .bytes(rate)?
                .clamp(MIN_BURST_PACKETS * FULL_PACKET_BYTES, MAX_BURST_BYTES),
        };
        let horizon_ns = match horizon {
            Some(horizon) => nanoseconds(horizon),
            None => nanoseconds(defaults.horizon).max(packets_ns(MIN_HORIZON_PACKETS)),
        };
        let ecn_ns = match ecn {
            Some(ecn) => ecn.map(nanoseconds),
            None => defaults
                .ecn
                .map(|ecn| nanoseconds(ecn).max(packets_ns(MIN_ECN_PACKETS))),
        };
        Ok(Self {
            rate,
            burst_bytes,
            horizon_ns: horizon_ns.min(MAX_HORIZON_NS),
            ecn_ns,
        })
    }

    /// The shortest horizon with which TCP does not stall, if its own is shorter.
    pub(super) fn longer_horizon(&self) -> Option<Duration> {
        let least_ns = self.rate.time_ns(FEW_HORIZON_PACKETS * FULL_PACKET_BYTES);
        (self.horizon_ns < least_ns).then(|| Duration::from_nanos(least_ns))
    }

    /// As the kernel holds it.
    #[must_use]
    pub fn limit(&self) -> Limit {
        let burst_ns = self.rate.time_ns(self.burst_bytes);
        Limit::new(self.rate.bytes_per_sec(), burst_ns, self.horizon_ns, self.ecn_ns)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How people refer to it: `rule "imap-heavy" (203.0.113.7/32 imap)`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.as_ref().map(|service| format!(" {}", service.name));
        let service = service.unwrap_or_default();
        match &self.name {
            Some(name) => write!(f, "rule \"{name}\" ({}{service})", self.destination),
            None => write!(f, "rule {}{service}", self.destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: &str) -> RuleLimit {
        RuleLimit::new(rate.parse().unwrap(), None, None, None, &Defaults::default()).unwrap()
    }

    #[test]
    fn the_default_burst_is_ten_milliseconds_and_at_least_two_full_packets() {
        assert_eq!(limit("20mbit").burst_bytes, 25_000);
        assert_eq!(limit("8kbit").burst_bytes, 3028);
        assert_eq!(limit("1600gbit").burst_bytes, 2_000_000_000);
    }

    #[test]
    fn the_default_horizon_is_a_fifth_of_a_second_and_has_room_for_a_packet_of_64_kib() {
        assert_eq!(limit("20mbit").horizon_ns, 200_000_000);
        assert_eq!(limit("100kbit").horizon_ns, 48 * 1514 * 80_000);
        assert_eq!(limit("8kbit").horizon_ns, MAX_HORIZON_NS);
    }

    #[test]
    fn the_default_marking_threshold_is_at_least_two_full_packets() {
        assert_eq!(limit("20mbit").ecn_ns, Some(5_000_000));
        assert_eq!(limit("1mbit").ecn_ns, Some(2 * 1514 * 8_000));
    }

    #[test]
    fn a_horizon_below_sixteen_full_packets_is_short() {
        let longer = |rate: &str, horizon_us| {
            let horizon = Some(Duration::from_micros(horizon_us));
            let defaults = Defaults::default();
            let limit = RuleLimit::new(rate.parse().unwrap(), None, horizon, None, &defaults).unwrap();
            limit.longer_horizon()
        };
        assert_eq!(longer("1mbit", 193_791), Some(Duration::from_micros(193_792)));
        assert_eq!(longer("1mbit", 193_792), None);
        assert_eq!(limit("8kbit").longer_horizon(), None);
    }

    #[test]
    fn what_a_rule_says_itself_is_taken_as_it_is() {
        let burst = Some(Burst::Bytes(0));
        let horizon = Some(Duration::from_millis(1));
        let rate = "1mbit".parse().unwrap();
        let limit = RuleLimit::new(rate, burst, horizon, Some(None), &Defaults::default()).unwrap();
        assert_eq!(
            (limit.burst_bytes, limit.horizon_ns, limit.ecn_ns),
            (0, 1_000_000, None)
        );
    }
}
