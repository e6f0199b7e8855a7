//! Names of pins.

use super::*;

#[test]
fn a_pin_name_has_no_dot_and_leads_back_to_the_interface() {
    for name in ["eth0", "eth0.42", "a.b.c", "100%", "x%2e", "br-lan@1"] {
        let pin = encode(name);
        assert!(!pin.contains('.'), "{pin}");
        assert_eq!(decode(&pin), name);
    }
}

#[test]
fn only_directories_of_a_layout_are_taken_for_one() {
    for name in ["v1", "v12", "new_v1"] {
        assert!(is_version_name(name), "{name}");
    }
    for name in ["v", "v1x", "vx", "eth0", "new_", "old_v1"] {
        assert!(!is_version_name(name), "{name}");
    }
}
