//! `shaper import`: what is printed is a configuration, and what is left out is said.

use crate::env::TestEnv;

const CLASS: &str = "tc qdisc add dev eth0 root handle 1: htb default 99
tc class add dev eth0 parent 1: classid 1:99 htb rate 100mbit burst 5k
tc class add dev eth0 parent 1: classid 1:101 htb rate 128kbit burst 5k
tc filter add dev eth0 parent 1: protocol ip u32 match ip dst 192.168.1.101 flowid 1:101
";

#[test]
fn a_script_that_is_understood_becomes_a_configuration() {
    let env = TestEnv::new();
    env.write("limits.sh", CLASS);
    let ran = env.run(&["import", "tc", "limits.sh"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let checked = env.check("made.toml", &ran.stdout);
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (0, "made.toml: valid, 2 rules\n")
    );
    let json = env.run(&["-o", "json", "import", "tc", "limits.sh"]);
    assert_eq!((json.code, json.stdout), (0, ran.stdout));
}

#[test]
fn what_is_left_out_is_said_by_its_line_and_by_the_exit_code() {
    let env = TestEnv::new();
    env.write("limits.sh", format!("{CLASS}sysctl net.ipv4.ip_forward=1\n"));
    let ran = env.run(&["import", "tc", "limits.sh"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(
        ran.stderr.starts_with("shaper: line 5: not translated: "),
        "{ran:?}"
    );
    assert!(
        ran.stderr
            .ends_with("shaper: 1 line was not translated, or not in full\n"),
        "{ran:?}"
    );
    assert_eq!(env.check("made.toml", &ran.stdout).code, 0);
    let quiet = env.run(&["-q", "import", "tc", "limits.sh"]);
    assert_eq!((quiet.code, quiet.stderr.lines().count()), (7, 1), "{quiet:?}");
}

#[test]
fn a_list_of_clients_is_read_from_standard_input_too() {
    let env = TestEnv::new();
    let list = "Circuit ID,IPv4,Download Max Mbps\n7,203.0.113.7,20\n";
    let path = env.write("clients.csv", list);
    let from_file = env.run(&["import", "csv", "clients.csv"]);
    assert!(from_file.stdout.contains("203.0.113.7"), "{from_file:?}");
    let stdin = std::fs::File::open(path).unwrap();
    let output = env.command().args(["import", "csv", "-"]).stdin(stdin).output();
    assert_eq!(
        String::from_utf8(output.unwrap().stdout).unwrap(),
        from_file.stdout
    );
    let missing = env.run(&["import", "tc", "nowhere"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    assert!(
        missing.stderr.starts_with("shaper: cannot read `nowhere`"),
        "{missing:?}"
    );
}
