//! Tables as tests want them, without a configuration.

use shaper_common::pacing::Limit;
use shaper_common::rule::{Key4, Key6, PrefixData4, PrefixData6};
use shaper_user::policy::tables::{BucketId, ClientLens, Entry, Group, PortRange, TableKey, Tables};

/// Limited, with a bucket for the key alone.
#[must_use]
pub fn limited(key: TableKey, rate: u64) -> (TableKey, Entry) {
    let limit = Limit::new(rate, 1_000_000, 200_000_000, Some(5_000_000));
    (key, Entry::limited(limit, BucketId::of(&format!("{key:?}"))))
}

/// A single IPv4 address.
#[must_use]
pub fn v4(n: u32) -> TableKey {
    TableKey::Exact4(Key4 {
        service: 0,
        address: (0x0a00_0000 + n).to_be_bytes(),
    })
}

/// A single IPv6 address.
#[must_use]
pub fn v6(n: u32) -> TableKey {
    TableKey::Exact6(Key6 {
        service: 0,
        address: [0x2001_0db8_u32.to_be(), 0, 0, n.to_be()],
    })
}

/// An IPv4 prefix.
#[must_use]
pub fn p4(len: u32, address: [u8; 4]) -> TableKey {
    TableKey::Prefix4(len, PrefixData4 { service: 0, address })
}

/// An IPv6 prefix, by its first 32 bits.
#[must_use]
pub fn p6(len: u32, first: u32) -> TableKey {
    TableKey::Prefix6(
        len,
        PrefixData6 {
            zero: 0,
            service: 0,
            address: [first.to_be(), 0, 0, 0],
        },
    )
}

/// An entry for each sort of key.
#[must_use]
pub fn every_kind() -> Vec<(TableKey, Entry)> {
    vec![
        limited(v4(1), 1_000_000),
        (v4(2), Entry::Exempt),
        limited(v6(1), 2_000_000),
        limited(p4(8, [10, 0, 0, 0]), 3_000_000),
        (p4(24, [10, 0, 0, 0]), Entry::Exempt),
        limited(p6(32, 0x2001_0db8), 4_000_000),
        limited(TableKey::Any, 5_000_000),
    ]
}

/// Everything that tables can say.
#[must_use]
pub fn everything() -> Tables {
    let limit = Limit::new(9_000_000, 1_000_000, 200_000_000, None);
    let with_service = |service, address| TableKey::Exact4(Key4 { service, address });
    let mut entries = every_kind();
    entries.extend([
        limited(with_service(1, [10, 0, 0, 1]), 500_000),
        (
            with_service(2, [10, 0, 0, 1]),
            Entry::Blocked { bucket: BucketId(1) },
        ),
        (
            p4(16, [10, 9, 0, 0]),
            Entry::Limited {
                limit,
                bucket: BucketId(2),
                clients: Some(ClientLens { v4: 32, v6: 64 }),
                group: Some(1),
            },
        ),
        (
            p6(48, 0x2001_0db9),
            Entry::Limited {
                limit,
                bucket: BucketId(2),
                clients: Some(ClientLens { v4: 32, v6: 64 }),
                group: Some(1),
            },
        ),
    ]);
    let mut tables = Tables::new(entries);
    let group = |id| Group {
        limit,
        bucket: BucketId(id),
    };
    tables.groups = vec![group(10), group(11)];
    let range = |is_udp, first, last, service| PortRange {
        is_udp,
        first,
        last,
        service,
    };
    tables.ports = vec![range(false, 993, 993, 1), range(true, 60_000, u16::MAX, 2)];
    tables.max_clients = 1000;
    tables
}
