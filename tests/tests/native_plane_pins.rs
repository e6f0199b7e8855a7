//! Pins that are missing, damaged or somebody else's. Needs root.

use std::path::Path;

use shaper_common::names::LAYOUT_VERSION;
use shaper_tests::world::World;
use shaper_user::dataplane::{Dataplane, DataplaneError};
use shaper_user::paths::Paths;

#[test]
fn without_pins_it_is_not_up() {
    let world = World::new();
    assert!(matches!(
        Dataplane::open(&world.paths()),
        Err(DataplaneError::NotUp)
    ));
}

#[test]
fn a_damaged_pin_is_named_and_left_alone() {
    let world = World::new();
    drop(world.up());
    let pins = world.paths().bpffs.join(format!("v{LAYOUT_VERSION}"));
    std::fs::remove_file(pins.join("TOTALS")).unwrap();
    let error = Dataplane::open(&world.paths()).unwrap_err();
    assert_eq!(error.code(), "foreign_pin");
    assert!(error.to_string().contains("/TOTALS"), "{error}");
    // A map of another shape in its place.
    std::fs::rename(pins.join("ACTIVE"), pins.join("TOTALS")).unwrap();
    let error = Dataplane::create_or_open(&world.paths()).unwrap_err();
    assert_eq!(error.code(), "foreign_pin");
    assert!(pins.join("TOTALS").exists());
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    drop(world.up());
    let bpffs = world.paths().bpffs;
    std::fs::set_permissions(&bpffs, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        Dataplane::open(&world.paths()).unwrap_err().code(),
        "unsafe_directory"
    );
    std::fs::rename(&bpffs, world.dir().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &bpffs).unwrap();
    assert_eq!(
        Dataplane::open(&world.paths()).unwrap_err().code(),
        "unsafe_directory"
    );
}

#[test]
fn to_everybody_else_what_root_has_made_is_a_matter_of_privilege() {
    let world = World::new();
    drop(world.up());
    let paths = world.paths();
    let refused = std::thread::spawn(move || {
        // SAFETY: numbers only. Of this thread alone: the C library's function would change every thread.
        let error = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        assert_eq!(error, 0);
        Dataplane::open(&paths).unwrap_err()
    });
    let error = refused.join().unwrap();
    assert_eq!(error.code(), "privilege", "{error}");
    assert!(error.to_string().contains("belongs to root"), "{error}");
    assert!(error.hint().unwrap().contains("run as root"));
}

#[test]
fn outside_a_bpf_file_system_nothing_is_made() {
    let paths = Paths {
        bpffs: Path::new("/tmp/no-bpffs-here").into(),
        ..Paths::default()
    };
    assert_eq!(Dataplane::create_or_open(&paths).unwrap_err().code(), "no_bpffs");
    assert!(!paths.bpffs.exists());
}
