//! A list of clients, as LibreQoS has them: a heading, then a line for each device of each circuit.
//!
//! A circuit's download rate is what its addresses may be sent together: one address becomes a rule, several become rules of
//! one group.

use std::collections::BTreeMap;

use super::draft::{Draft, Note, name_of};
use super::units;
use crate::config::{Config, GroupConfig, RuleConfig, Source, rare};
use crate::policy::Rate;

/// What a column holds, by its heading in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Circuit,
    Name,
    Address,
    Megabits,
    Rate,
    Comment,
    /// It says nothing about how fast we send.
    Needless,
}

fn column(heading: &str) -> Option<Column> {
    Some(match heading.trim().to_ascii_lowercase().as_str() {
        "circuit id" => Column::Circuit,
        "circuit name" | "name" => Column::Name,
        "ipv4" | "ipv6" | "ip" | "address" | "destination" => Column::Address,
        "download max mbps" | "download max" => Column::Megabits,
        "rate" => Column::Rate,
        "comment" => Column::Comment,
        "device id" | "device name" | "parent node" | "mac" | "upload min mbps" | "upload max mbps"
        | "upload min" | "upload max" | "download min mbps" | "download min" => Column::Needless,
        _ => return None,
    })
}

/// One circuit: its devices may stand on several lines.
#[derive(Debug, Default)]
struct Circuit {
    line: usize,
    name: String,
    rate: Option<Rate>,
    comment: String,
    addresses: Vec<(usize, String)>,
}

/// Translates a list.
pub(super) fn translate(text: &str) -> (Config, Vec<Note>) {
    let mut draft = Draft::default();
    let mut records = records(text).into_iter();
    let Some((line, headings)) = records.next() else {
        return draft.finish();
    };
    let columns: Vec<Column> = headings
        .iter()
        .map(|heading| {
            column(heading).unwrap_or_else(|| {
                draft.note(line, format!("the column `{heading}` is not known"));
                Column::Needless
            })
        })
        .collect();
    let has = |wanted: &[Column]| columns.iter().any(|column| wanted.contains(column));
    if !has(&[Column::Address]) || !has(&[Column::Megabits, Column::Rate]) {
        draft.note(line, "the heading names no column of addresses, or none of rates");
        return draft.finish();
    }
    let mut circuits: BTreeMap<String, Circuit> = BTreeMap::new();
    for (line, fields) in records {
        if let Err(why) = add_device(&mut circuits, &columns, line, &fields) {
            draft.note(line, why);
        }
    }
    let mut circuits: Vec<Circuit> = circuits.into_values().collect();
    circuits.sort_by_key(|circuit| circuit.line);
    for circuit in circuits {
        add_circuit(&mut draft, circuit);
    }
    draft.finish()
}

fn add_device(
    circuits: &mut BTreeMap<String, Circuit>,
    columns: &[Column],
    line: usize,
    fields: &[String],
) -> Result<(), String> {
    let all = |wanted: Column| {
        columns
            .iter()
            .zip(fields)
            .filter(move |(column, _)| **column == wanted)
    };
    let one = |wanted: Column| {
        all(wanted)
            .map(|(_, field)| field.trim())
            .find(|field| !field.is_empty())
    };
    let rate = match (one(Column::Rate), one(Column::Megabits)) {
        (Some(text), _) => text.parse::<Rate>().map_err(|error| error.to_string())?,
        (None, Some(text)) => {
            units::megabits(text).ok_or_else(|| format!("`{text}` Mbit/s is not a rate"))?
        }
        (None, None) => return Err("it has no rate".to_owned()),
    };
    let addresses: Vec<(usize, String)> = all(Column::Address)
        .flat_map(|(_, field)| field.split([',', ';', ' ']))
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(|address| (line, address.to_owned()))
        .collect();
    if addresses.is_empty() {
        return Err("it has no address".to_owned());
    }
    let key = one(Column::Circuit).map_or_else(|| format!("\u{0}{line}"), str::to_owned);
    let circuit = circuits.entry(key).or_insert_with(|| Circuit {
        line,
        name: one(Column::Name)
            .or(one(Column::Circuit))
            .unwrap_or_default()
            .to_owned(),
        comment: one(Column::Comment).unwrap_or_default().to_owned(),
        rate: Some(rate),
        ..Circuit::default()
    });
    circuit.addresses.extend(addresses);
    if circuit.rate == Some(rate) {
        Ok(())
    } else {
        Err("its circuit has another rate on an earlier line, which counts".to_owned())
    }
}

fn add_circuit(draft: &mut Draft, circuit: Circuit) {
    let Some(rate) = circuit.rate else { return };
    let name = if circuit.name.is_empty() {
        None
    } else {
        Some(draft.unique_name(&circuit.name))
    };
    let is_group = circuit.addresses.len() > 1;
    let group = is_group.then(|| {
        name.clone()
            .unwrap_or_else(|| name_of(&format!("line-{}", circuit.line)))
    });
    if let Some(group) = &group {
        draft.add_group(group, GroupConfig::new(rate.to_string()));
    }
    for (line, address) in circuit.addresses {
        let mut rule = RuleConfig::new(address, rate.to_string(), Source::Config);
        rule.group = group.as_ref().map(rare);
        rule.name = name.as_ref().filter(|_| !is_group).map(rare);
        rule.comment = Some(circuit.comment.clone()).filter(|comment| !comment.is_empty());
        draft.add_rule(line, rule);
    }
}

/// Lines of fields, each with its number: fields may stand in quotes, and hold commas, line ends and doubled quotes then.
fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let (mut line, mut begin, mut is_quoted) = (1, 1, false);
    let mut fields = vec![String::new()];
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            '\n' => {
                line += 1;
                if is_quoted {
                    fields[last].push(' ');
                } else {
                    found.push((begin, std::mem::replace(&mut fields, vec![String::new()])));
                    begin = line;
                }
            }
            '\r' => {}
            c => fields[last].push(c),
        }
    }
    found.push((begin, fields));
    let is_meant = |fields: &[String]| {
        let is_empty = fields.iter().all(|field| field.trim().is_empty());
        !is_empty && !fields[0].starts_with('#')
    };
    found.retain(|(_, fields)| is_meant(fields));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const LIST: &str = "Circuit ID,Circuit Name,Device ID,Device Name,Parent Node,MAC,IPv4,IPv6,Download Min Mbps,Upload Min Mbps,Download Max Mbps,Upload Max Mbps,Comment\n\
        1,\"Smith, J.\",1,router,,,\"100.64.0.1, 100.64.0.2\",2001:db8:1::/56,1,1,25,5,\n\
        2,Miller,2,router,,,100.64.0.3,,1,1,2.5,5,\"says \"\"hi\"\"\"\n\
        2,Miller,3,second,,,100.64.0.4,,1,1,9,5,\n\
        3,Nobody,4,router,,,,,1,1,9,5,\n\
        4,Jones,5,router,,,100.64.0.300,,1,1,9,5,\n\
        5,Brown,5,router,,,100.64.0.5,,1,1,fast,5,\n\
        6,Green,6,router,,,100.64.0.6,,1,1,10,5,\n";

    #[test]
    fn a_circuit_with_one_address_is_a_rule_and_one_with_several_is_a_group() {
        let (config, notes) = translate(LIST);
        let policy = Policy::try_from(&config).unwrap();
        let rules: Vec<String> = policy
            .rules()
            .iter()
            .map(|rule| {
                let group = rule.group.as_ref().map(|group| group.name.clone());
                let name = rule.name.clone().or(group).unwrap_or_default();
                format!(
                    "{} {name} {}",
                    rule.destination,
                    rule.bytes_per_sec().unwrap() * 8
                )
            })
            .collect();
        assert_eq!(
            rules,
            [
                "100.64.0.1/32 Smith--J. 25000000",
                "100.64.0.2/32 Smith--J. 25000000",
                "100.64.0.3/32 Miller 2500000",
                "100.64.0.4/32 Miller 2500000",
                "100.64.0.6/32 Green 10000000",
                "2001:db8:1::/56 Smith--J. 25000000",
            ]
        );
        let comment = policy.rules().iter().find_map(|rule| rule.comment.clone());
        assert_eq!(comment.unwrap(), "says \"hi\"");
        let notes: Vec<(usize, &str)> = notes.iter().map(|note| (note.line, note.what.as_str())).collect();
        assert_eq!(
            notes,
            [
                (4, "its circuit has another rate on an earlier line, which counts"),
                (5, "it has no address"),
                (6, "`100.64.0.300` is not an address, a prefix or `any`"),
                (7, "`fast` Mbit/s is not a rate"),
            ]
        );
    }

    #[test]
    fn a_short_list_has_rates_as_we_write_them() {
        let (config, notes) =
            translate("# clients\nname,destination,rate\nheavy,203.0.113.7,20mbit\n,any,1gbit\n");
        let policy = Policy::try_from(&config).unwrap();
        assert_eq!((policy.rules().len(), notes.len()), (2, 0));
        assert_eq!(policy.rules()[0].name.as_deref(), Some("heavy"));
    }

    #[test]
    fn a_heading_that_names_too_little_or_too_much_says_so() {
        let (_, notes) = translate("a,b\n1,2\n");
        let notes: Vec<&str> = notes.iter().map(|note| note.what.as_str()).collect();
        assert_eq!(
            notes,
            [
                "the column `a` is not known",
                "the column `b` is not known",
                "the heading names no column of addresses, or none of rates"
            ]
        );
        assert!(translate("").1.is_empty());
    }
}
