//! Random frames under random policies: the program and the model agree on every one of them.

use shaper_common::outcome::{N_OUTCOMES, Outcome};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Settings, Skb},
    model::Model,
    object, packet,
    random::{self, Random},
};

#[test]
fn the_program_does_with_random_packets_what_the_model_does() {
    let default = if object::in_lab() { 20_000 } else { 1_000_000 };
    let totals = compare(Settings::default(), default);
    // A run that never got to some outcome would prove nothing about it.
    for outcome in Outcome::ALL {
        let is_expected = outcome != Outcome::Contended;
        assert_eq!(
            totals[outcome as usize] > 0,
            is_expected,
            "{outcome:?} {totals:?}"
        );
    }
}

#[test]
fn policing_the_program_does_with_random_packets_what_the_model_does() {
    let default = if object::in_lab() { 5_000 } else { 100_000 };
    let settings = Settings {
        police: true,
        ..Settings::default()
    };
    let totals = compare(settings, default);
    for outcome in [
        Outcome::Paced,
        Outcome::SharedFull,
        Outcome::Marked,
        Outcome::Restamped,
    ] {
        assert_eq!(totals[outcome as usize], 0, "{outcome:?}");
    }
    for outcome in [Outcome::Conforming, Outcome::BeyondHorizon, Outcome::ClientsFull] {
        assert!(totals[outcome as usize] > 0, "{outcome:?}");
    }
}

/// Sends random frames through program and model, and returns the totals of both.
fn compare(settings: Settings, n_frames: u64) -> [u64; N_OUTCOMES as usize] {
    let seed = random::seed();
    let n_frames = random::number("SHAPER_FRAMES").unwrap_or(n_frames);
    let n_policies = (n_frames / 1000).max(100);
    println!("{n_frames} frames under {n_policies} policies");

    let mut random = Random::new(seed);
    let mut kernel = Kernel::load(settings);
    let mut now_ns = 1 << 40;
    let mut model = Model::new(settings.police);
    for n_frame in 0..n_frames {
        if n_frame.is_multiple_of(n_frames.div_ceil(n_policies)) {
            assert_same_counters(&kernel, &model, seed);
            if n_frame == 0 || random.one_in(4) {
                let max_clients = 1 + random.below(60);
                kernel.replace_clients(u32::try_from(max_clients).unwrap());
                model.replace_clients(usize::try_from(max_clients).unwrap());
            }
            let policy = random::policy(&mut random);
            kernel.install(&policy);
            model.replace_policy(&policy);
        }
        now_ns += random.magnitude(1..24);
        kernel.set_clock(now_ns);

        let sample = random::frame(&mut random, model.policy(), now_ns);
        let skb = Skb {
            tstamp: sample.packet.tstamp,
            priority: sample.packet.priority,
            wire_len: sample.packet.wire_len,
            ..Skb::default()
        };
        let expected = model.send(&sample.packet, now_ns);
        let ran = kernel.run(&sample.frame, skb);
        let got = (ran.action, ran.skb.tstamp, ran.skb.priority);
        let action = if matches!(
            expected.outcome,
            Outcome::BeyondHorizon | Outcome::SharedFull | Outcome::Blocked
        ) {
            DROP
        } else {
            PASS
        };
        let context = || format!("SHAPER_SEED={seed}, frame {n_frame}: {sample:?} at {now_ns}: {expected:?}");
        assert_eq!(got, (action, expected.tstamp, expected.priority), "{}", context());
        if expected.is_marked {
            assert_eq!(packet::ecn(&ran.frame), packet::CE, "{}", context());
        } else {
            assert_eq!(ran.frame, sample.frame, "{}", context());
        }
    }
    assert_same_counters(&kernel, &model, seed);
    kernel.totals()
}

fn assert_same_counters(kernel: &Kernel, model: &Model, seed: u64) {
    assert_eq!(kernel.totals(), model.totals, "SHAPER_SEED={seed}");
    for (number, bucket) in &model.buckets {
        assert_eq!(
            kernel.bucket(*number),
            *bucket,
            "SHAPER_SEED={seed}, bucket {number}"
        );
    }
    assert_eq!(kernel.clients(), model.clients, "SHAPER_SEED={seed}");
}
