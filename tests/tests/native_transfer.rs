//! The program that the loader charges clients with while packets are charged to them.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use shaper_common::{
    NSEC_PER_SEC,
    bucket::Bucket,
    pacing::{Limit, ticks},
    rule::{ClientKey, Rule},
    transfer::{Transfer, Transferred},
};
use shaper_tests::{
    kernel::{Kernel, Settings, Skb},
    model::Policy,
    packet,
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;

/// What a client has done elsewhere.
const MORE: Bucket = Bucket {
    last_departure_ticks: 7_000,
    sent_bytes: 600,
    sent_packets: 5,
    paced_packets: 4,
    marked_packets: 3,
    dropped_packets: 2,
    shared_ticks: 1,
    owner: 0,
};

/// A rule that tells clients apart, and one client who has sent 100 bytes.
fn kernel() -> (Kernel, ClientKey, Bucket) {
    let mut kernel = Kernel::load(Settings::default());
    let limit = Limit::new(NSEC_PER_SEC, 1_000, 10_000, None);
    kernel.install(&Policy {
        any: Some(Rule {
            client_len4: 32,
            ..Rule::limited(limit, 4)
        }),
        ..Policy::default()
    });
    kernel.replace_clients(10);
    kernel.set_clock(NOW_NS);
    let _ = kernel.run(&packet::udp_to([10, 0, 0, 1].into(), 58), Skb::default());
    let (client, bucket) = kernel.clients().into_iter().next().unwrap();
    assert_eq!(bucket.last_departure_ticks, ticks(NOW_NS - 1_000 + 100));
    kernel.transfer_program().load().unwrap();
    (kernel, client, bucket)
}

fn run(kernel: &mut Kernel, packet: &[u8]) -> u32 {
    let program: &mut SchedClassifier = kernel.transfer_program();
    let options = TestRunOptions {
        data_in: Some(packet),
        repeat: 1,
        ..TestRunOptions::default()
    };
    program.test_run(options).unwrap().return_value
}

#[test]
fn a_client_is_charged_in_one_step_if_no_packet_came_first() {
    let (mut kernel, client, bucket) = kernel();
    let transfer = Transfer {
        client,
        reserved: 0,
        expected_ticks: bucket.last_departure_ticks,
        next_ticks: ticks(NOW_NS),
        more: MORE,
    };
    assert_eq!(
        run(&mut kernel, &transfer.packet()),
        Transferred::Exchanged as u32
    );
    let expected = Bucket {
        last_departure_ticks: ticks(NOW_NS),
        sent_bytes: 700,
        sent_packets: 6,
        ..MORE
    };
    assert_eq!(kernel.clients()[&client], expected);
}

#[test]
fn to_what_a_packet_was_charged_with_meanwhile_it_is_added() {
    let (mut kernel, client, bucket) = kernel();
    let transfer = Transfer {
        client,
        reserved: 0,
        expected_ticks: bucket.last_departure_ticks - 1,
        next_ticks: ticks(NOW_NS),
        more: MORE,
    };
    assert_eq!(run(&mut kernel, &transfer.packet()), Transferred::Added as u32);
    let expected = Bucket {
        last_departure_ticks: bucket.last_departure_ticks + 7_000,
        sent_bytes: 700,
        sent_packets: 6,
        ..MORE
    };
    assert_eq!(kernel.clients()[&client], expected);
}

#[test]
fn neither_a_stranger_nor_half_a_message_charges_anybody() {
    let (mut kernel, client, bucket) = kernel();
    let transfer = Transfer {
        client: ClientKey { rule: 5, ..client },
        more: MORE,
        ..Transfer::default()
    };
    assert_eq!(run(&mut kernel, &transfer.packet()), Transferred::Nobody as u32);
    let whole = Transfer { client, ..transfer }.packet();
    assert_eq!(
        run(&mut kernel, &whole[..whole.len() - 1]),
        Transferred::Nobody as u32
    );
    assert_eq!(
        kernel.clients().into_iter().collect::<Vec<_>>(),
        [(client, bucket)]
    );
}
