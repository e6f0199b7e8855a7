//! Classes of ports: the kernel gives each port one number, so services that overlap are taken apart.
//!
//! All ports that belong to the same set of services are one class. A service is a list of classes, and a rule for it
//! has an entry for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ports::Ports;
use super::tables::PortRange;

/// How the ports of some services fall into classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PortClasses {
    ranges: Vec<PortRange>,
    of: HashMap<Ports, Vec<u32>>,
}

/// Where a service begins or ends.
#[derive(Clone, Debug, Default)]
struct Edge {
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl PortClasses {
    /// Takes apart `services`; order and repetition do not matter.
    pub(super) fn new<'a>(services: impl Iterator<Item = &'a Ports>) -> Self {
        let services: Vec<&Ports> = services.collect::<BTreeSet<_>>().into_iter().collect();
        let mut classes = Numbers::default();
        let mut ranges = Vec::new();
        for is_udp in [false, true] {
            sweep(&services, is_udp, &mut classes, &mut ranges);
        }
        let mut of: HashMap<Ports, Vec<u32>> = HashMap::new();
        for (members, class) in &classes.by_members {
            for member in members {
                of.entry(services[*member].clone()).or_default().push(*class);
            }
        }
        for classes in of.values_mut() {
            classes.sort_unstable();
        }
        Self { ranges, of }
    }

    /// Ports with the number of their class, in ascending order.
    pub(super) fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// The classes that make up `ports`, which must be one of the services.
    pub(super) fn of(&self, ports: &Ports) -> &[u32] {
        self.of.get(ports).map_or(&[], Vec::as_slice)
    }
}

/// The number of each set of services, from one.
#[derive(Debug, Default)]
struct Numbers {
    by_members: BTreeMap<Vec<usize>, u32>,
    last: u32,
}

impl Numbers {
    fn number(&mut self, members: Vec<usize>) -> u32 {
        *self.by_members.entry(members).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }
}

fn sweep(services: &[&Ports], is_udp: bool, numbers: &mut Numbers, ranges: &mut Vec<PortRange>) {
    let mut edges: BTreeMap<u32, Edge> = BTreeMap::new();
    for (index, ports) in services.iter().enumerate() {
        for span in ports.spans().iter().filter(|span| span.is_udp == is_udp) {
            edges.entry(span.first.into()).or_default().begin.push(index);
            edges.entry(u32::from(span.last) + 1).or_default().end.push(index);
        }
    }
    let mut active: BTreeSet<usize> = BTreeSet::new();
    let mut open: Option<(u32, u32)> = None;
    for (port, edge) in edges {
        let closed = open.take().map(|(first, service)| PortRange {
            is_udp,
            first: u16::try_from(first).unwrap_or(u16::MAX),
            last: u16::try_from(port - 1).unwrap_or(u16::MAX),
            service,
        });
        ranges.extend(closed);
        for index in edge.end {
            active.remove(&index);
        }
        active.extend(edge.begin);
        if !active.is_empty() {
            open = Some((port, numbers.number(active.iter().copied().collect())));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::ports::PortSpan;
    use crate::policy::service::Service;

    fn ports(texts: &[&str]) -> Ports {
        Ports::of(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn services_that_do_not_overlap_have_a_class_each() {
        let (imap, ssh) = (
            Service::built_in("imap").unwrap().ports,
            Service::built_in("ssh").unwrap().ports,
        );
        let classes = PortClasses::new([&imap, &ssh, &imap].into_iter());
        assert_eq!(classes.of(&imap).len(), 1);
        assert_eq!(classes.of(&ssh).len(), 1);
        assert_ne!(classes.of(&imap), classes.of(&ssh));
        assert_eq!(classes.ranges().len(), 3);
        assert!(classes.of(&ports(&["tcp:7"])).is_empty());
    }

    #[test]
    fn what_is_common_to_two_services_is_a_class_of_its_own() {
        let (low, high) = (ports(&["tcp:1-20"]), ports(&["tcp:10-65535"]));
        let classes = PortClasses::new([&low, &high].into_iter());
        assert_eq!((classes.of(&low).len(), classes.of(&high).len()), (2, 2));
        let ranges: Vec<(u16, u16)> = classes
            .ranges()
            .iter()
            .map(|range| (range.first, range.last))
            .collect();
        assert_eq!(ranges, [(1, 9), (10, 20), (21, 65535)]);
    }

    fn any_ports() -> impl Strategy<Value = Ports> {
        let span = (any::<bool>(), 1_u16..12, 0_u16..5).prop_map(|(is_udp, first, more)| PortSpan {
            is_udp,
            first,
            last: first + more,
        });
        prop::collection::vec(span, 1..4).prop_map(Ports::of)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_port_is_in_a_class_of_a_service_if_and_only_if_it_is_one_of_its_ports(
            services in prop::collection::vec(any_ports(), 0..8),
        ) {
            let classes = PortClasses::new(services.iter());
            for (is_udp, port) in [false, true].into_iter().flat_map(|udp| (1..20).map(move |port| (udp, port))) {
                let own: Vec<u32> = classes
                    .ranges()
                    .iter()
                    .filter(|range| range.is_udp == is_udp && (range.first..=range.last).contains(&port))
                    .map(|range| range.service)
                    .collect();
                prop_assert!(own.len() <= 1);
                let one = Ports::of(vec![PortSpan { is_udp, first: port, last: port }]);
                for service in &services {
                    let is_in_class = own.iter().any(|class| classes.of(service).contains(class));
                    prop_assert_eq!(is_in_class, service.contains(&one));
                }
            }
        }
    }
}
