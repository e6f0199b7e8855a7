//! Whatever happens to an interface while the monitor runs, it is in place again within a second, or reported as degraded; while
//! the monitor stands still, `status` says so. In virtual time, so that each try has to be in time.

mod damage;

use std::time::Instant;

use damage::{CONFIG, Scene, WELL, in_time, on, repaired, reported};
use shaper_tests::lab::foreign::PASS;
use shaper_tests::lab::{Foreign, Host, Lab, UPLINK, bpf, client};
use shaper_tests::monitor::Monitor;
use shaper_tests::plane::hooks;
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::Way;

#[test]
fn a_queue_that_somebody_replaces_is_put_back() {
    let damages = [
        (
            "the root qdisc is replaced",
            repaired(|scene| scene.tc("qdisc replace dev up0 root pfifo")),
        ),
        (
            "the fq of one queue is replaced",
            repaired(|scene| scene.tc("qdisc replace dev up0 parent 5a9e:2 pfifo")),
        ),
    ];
    on(&["up"], &damages);
}

#[test]
fn a_link_that_is_detached_is_attached_again_and_a_program_in_front_is_reported() {
    if !hooks().contains(&"tcx") {
        return;
    }
    let damages = [
        (
            "the link is detached by force",
            repaired(|scene| {
                let link = bpf::open(&scene.shaper.pin("link_up0")).unwrap();
                bpf::detach_link(&link).unwrap();
                None
            }),
        ),
        (
            "a program in front ends the chain",
            reported(
                "up0: 1 other programs run first",
                |scene| {
                    let foreign = Foreign::load(PASS);
                    Some(Box::new(
                        foreign.attach_tcx(&scene.lab.server, UPLINK, true).unwrap(),
                    ))
                },
                |_| {},
            ),
        ),
    ];
    on(&["up"], &damages);
}

#[test]
fn a_filter_that_is_taken_away_is_put_back_and_one_in_front_is_reported() {
    let damages = [
        (
            "clsact is deleted",
            repaired(|scene| scene.tc("qdisc del dev up0 clsact")),
        ),
        (
            "a filter in front ends the chain",
            reported(
                "up0: 1 other programs run first",
                |scene| {
                    let pin = scene.shaper.pin("foreign");
                    Foreign::load(PASS).pin(&pin);
                    let words = "filter add dev up0 egress prio 1 handle 0x1 protocol all bpf direct-action object-pinned";
                    let words: Vec<_> = words.split(' ').chain(pin.to_str()).collect();
                    // With `-n`, tc would see no pins.
                    scene.lab.server.output("tc", &words);
                    std::fs::remove_file(pin).unwrap();
                    None
                },
                |scene| {
                    scene.tc("filter del dev up0 egress prio 1 handle 0x1 protocol all bpf");
                },
            ),
        ),
    ];
    on(&["up", "--attach", "clsact"], &damages);
}

#[test]
fn an_interface_that_goes_is_reported_and_one_that_comes_is_limited() {
    let damages = [
        (
            "the interface is deleted",
            reported(
                "up0: there is no interface",
                |scene| scene.ip(&["link del up0"]),
                |scene| scene.make(&[]),
            ),
        ),
        (
            "the interface is deleted and made anew at once",
            repaired(|scene| {
                scene.make(&["link del up0"]);
                None
            }),
        ),
        (
            "the interface is renamed",
            reported(
                "it is called `other0` now",
                |scene| scene.ip(&["link set up0 down", "link set up0 name other0"]),
                |scene| {
                    scene.ip(&["link set other0 name up0", "link set up0 up"]);
                },
            ),
        ),
        (
            "the interface is moved to another network",
            reported(
                "up0: there is no interface",
                |scene| scene.ip(&[&format!("link set up0 netns {}", scene.lab.clients.name())]),
                |scene| {
                    let back = format!("link set up0 netns {}", scene.lab.server.name());
                    scene.lab.clients.ip([back]);
                    scene.ip(&["link set up0 up"]);
                },
            ),
        ),
    ];
    on(&["up"], &damages);
}

#[test]
fn an_interface_whose_name_comes_to_fit_a_pattern_is_limited() {
    let lab = Lab::new();
    let shaper = Shaper::new(&lab.server);
    shaper.configure(CONFIG);
    shaper.run(&["up"]);
    let scene = Scene {
        lab: &lab,
        shaper: &shaper,
    };
    let monitor = Monitor::start(&mut shaper.command(&["monitor"]));
    for (is_stopped, name) in [(true, "new1"), (false, "new2")] {
        scene.ip(&["link add plain0 type veth peer name plain1"]);
        if is_stopped {
            monitor.signal(libc::SIGSTOP);
        }
        let mut began = Instant::now();
        scene.ip(&[&format!("link set plain0 name {name}")]);
        if is_stopped {
            assert_eq!(scene.status(), Some(7));
            began = Instant::now();
            monitor.signal(libc::SIGCONT);
        }
        monitor.hear(&format!("{name}: {WELL}"));
        in_time("a name comes to fit a pattern", began);
        assert_eq!(scene.status(), Some(0));
        // Nobody waits for what came by a pattern.
        scene.ip(&[&format!("link del {name}")]);
        assert_eq!(scene.status(), Some(0));
    }
}

#[test]
fn an_interface_whose_driver_is_unloaded_is_reported_and_limited_when_it_is_loaded_again() {
    // The driver, the interface, and how it is made.
    let drivers = [
        ("dummy", "dummy9", "link add dummy9 type dummy"),
        ("tun", "tun9", "tuntap add dev tun9 mode tun"),
        ("veth", "veth9", "link add veth9 type veth peer name veth8"),
    ];
    let tries = drivers
        .into_iter()
        .flat_map(|driver| [true, false].map(|is_stopped| (driver, is_stopped)));
    for ((driver, interface, made), is_stopped) in tries {
        let host = Host::new("server");
        let up = format!("link set {interface} up");
        host.ip([made, &up]);
        let shaper = Shaper::new(&host);
        shaper.configure(&format!(
            "[interface.{interface}]\n[[rule]]\ndestination = \"any\"\nrate = \"100mbit\"\n"
        ));
        shaper.run(&["up"]);
        let status = || shaper.try_run(&["status", "--brief"]).status.code();
        assert_eq!(status(), Some(0));
        let monitor = Monitor::start(&mut shaper.command(&["monitor"]));
        let mut began = Instant::now();
        if is_stopped {
            monitor.signal(libc::SIGSTOP);
        }
        if driver == "tun" {
            // It stays as long as it has a device that needs no program.
            host.ip([format!("link del {interface}")]);
        }
        host.output("modprobe", &["-r", driver]);
        if is_stopped {
            assert_eq!(status(), Some(7), "{driver}");
            began = Instant::now();
            monitor.signal(libc::SIGCONT);
        }
        monitor.hear(&format!("{interface}: there is no interface"));
        in_time(&format!("{driver} is unloaded"), began);
        assert_eq!(status(), Some(7), "{driver}");
        let began = Instant::now();
        host.output("modprobe", &[driver]);
        host.ip([made, &up]);
        monitor.hear(&format!("{interface}: {WELL}"));
        in_time(&format!("{driver} is loaded again"), began);
        assert_eq!(status(), Some(0), "{driver}");
    }
}

#[test]
fn packets_are_paced_while_the_monitor_stands_still_and_when_it_is_killed() {
    let lab = Lab::new();
    let way = Way::limited(&lab, UPLINK);
    let monitor = Monitor::start(&mut way.shaper().command(&["monitor"]));
    for (what, signal) in [
        ("the monitor is stopped", libc::SIGSTOP),
        ("it goes on", libc::SIGCONT),
        ("it is killed", libc::SIGKILL),
    ] {
        let paced = || way.shaper().stats(client(1)).delayed_packets;
        let before = paced();
        way.holds_the_rate(what, || monitor.signal(signal));
        assert!(paced() > before, "{what}: none had to wait");
        way.is_well();
    }
}
