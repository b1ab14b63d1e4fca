//! What a fleet watches, and who: the records of its topics, folded. Pure.

use std::collections::BTreeMap;

use super::record::MemberRecord;
use crate::config::{Config, StreamConfig};
use crate::timeline::UtcTime;

/// Settings as they stand in the topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Where they stand, which says who watches.
    pub partition: i32,
    /// Which record it is: later ones of one partition have higher numbers.
    pub offset: i64,
    /// They, or why nobody can watch by them.
    pub config: Result<Box<StreamConfig>, String>,
}

/// What is known of a fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    streams: BTreeMap<String, Setting>,
    members: BTreeMap<String, MemberRecord>,
    settings: u64,
}

/// One stream of a fleet, for who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its settings.
    pub setting: Setting,
    /// Who says that it watches it.
    pub member: Option<String>,
}

impl Table {
    /// A record of the topic of settings; without a value the stream is gone.
    pub fn stream(&mut self, partition: i32, offset: i64, id: &str, value: Option<&[u8]>) {
        if let Some(known) = self.streams.get(id)
            && known.partition != partition
        {
            // Clients with different partitioners have written it; nobody may watch it twice.
            tracing::warn!(
                stream = id,
                partition,
                "its settings stand in two partitions; those of the lower one count"
            );
            if known.partition < partition {
                return;
            }
            if value.is_none() {
                return;
            }
        }
        self.settings += 1;
        match value {
            None => drop(self.streams.remove(id)),
            Some(value) => {
                let config = read(id, value).map(Box::new);
                if let Err(why) = &config {
                    tracing::warn!(stream = id, partition, why, "the settings of a stream cannot be used");
                }
                self.streams.insert(id.to_owned(), Setting { partition, offset, config });
            }
        }
    }

    /// A record of the topic of members; without a value it has left.
    pub fn member(&mut self, id: &str, value: Option<&[u8]>) {
        match value.map(serde_json::from_slice::<MemberRecord>) {
            None => drop(self.members.remove(id)),
            Some(Ok(record)) => drop(self.members.insert(id.to_owned(), record)),
            Some(Err(error)) => tracing::warn!(member = id, %error, "the record of a daemon cannot be read"),
        }
    }

    /// Every stream, by id.
    pub fn streams(&self) -> &BTreeMap<String, Setting> {
        &self.streams
    }

    /// How many records have changed settings: the same number, the same settings.
    pub fn settings(&self) -> u64 {
        self.settings
    }

    /// Those whose settings stand in each of these partitions.
    pub fn of_partitions(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> BTreeMap<i32, BTreeMap<String, Setting>> {
        let mut all: BTreeMap<i32, BTreeMap<String, Setting>> =
            partitions.into_iter().map(|partition| (partition, BTreeMap::new())).collect();
        for (id, setting) in &self.streams {
            if let Some(own) = all.get_mut(&setting.partition) {
                own.insert(id.clone(), setting.clone());
            }
        }
        all
    }

    /// Every daemon that was heard of in the last `seconds`.
    pub fn members(&self, now: UtcTime, seconds: f64) -> Vec<&MemberRecord> {
        self.members.values().filter(|member| !member.is_silent(now, seconds)).collect()
    }

    /// One stream.
    pub fn view(&self, id: &str, now: UtcTime, seconds: f64) -> Option<View> {
        let setting = self.streams.get(id)?.clone();
        let owner = self.owner(setting.partition, now, seconds);
        Some(View { member: owner.map(|member| member.member.clone()), setting })
    }

    /// Who says that it has a partition.
    pub fn owner(&self, partition: i32, now: UtcTime, seconds: f64) -> Option<&MemberRecord> {
        let members = self.members(now, seconds).into_iter();
        // One that lost it a moment ago may not have said so yet.
        members
            .filter(|member| member.partitions.contains(&partition))
            .max_by(|one, other| one.at.cmp(&other.at))
    }
}

fn read(id: &str, value: &[u8]) -> Result<StreamConfig, String> {
    let config: StreamConfig = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if config.id != id {
        return Err(format!("the key is \"{id}\", the id in the settings \"{}\"", config.id));
    }
    let problems = Config::stream_problems(&config);
    if problems.is_empty() {
        return Ok(config);
    }
    Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(id: &str) -> Vec<u8> {
        serde_json::to_vec(&StreamConfig::new(id, "test://")).expect("it is JSON")
    }

    #[test]
    fn the_last_record_of_a_key_counts_and_a_tombstone_removes_it() {
        let mut table = Table::default();
        table.stream(3, 0, "gate", Some(&json("gate")));
        table.stream(3, 4, "gate", Some(&json("gate")));
        table.stream(1, 0, "door", Some(&json("door")));
        assert_eq!(table.streams()["gate"].offset, 4);
        let own = table.of_partitions([3, 4]);
        let ids = |partition: i32| own[&partition].keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((own.len(), ids(3), ids(4)), (2, vec!["gate"], vec![]));
        let settings = table.settings();
        table.member("a", Some(b"{}"));
        assert_eq!(table.settings(), settings, "only a daemon told of itself");
        table.stream(3, 5, "gate", None);
        assert_eq!(table.streams().keys().collect::<Vec<_>>(), ["door"]);
        assert_ne!(table.settings(), settings);
    }

    #[test]
    fn settings_that_nobody_can_use_are_known_with_the_reason() {
        let mut table = Table::default();
        let why = |table: &Table, id: &str| table.streams()[id].config.clone().expect_err("not usable");
        table.stream(0, 0, "a", Some(b"{"));
        table.stream(0, 1, "b", Some(&json("c")));
        table.stream(0, 2, "d", Some(br#"{"id": "d", "uri": "test://", "hopp": "1s"}"#));
        assert!(why(&table, "b").contains("the key is \"b\""), "{}", why(&table, "b"));
        assert!(why(&table, "d").contains("hopp"));
        assert!(!why(&table, "a").is_empty());
    }

    #[test]
    fn a_stream_in_two_partitions_is_watched_once() {
        let mut table = Table::default();
        table.stream(2, 7, "gate", Some(&json("gate")));
        table.stream(5, 1, "gate", Some(&json("gate")));
        assert_eq!(table.streams()["gate"].partition, 2);
        table.stream(5, 2, "gate", None);
        assert!(table.streams().contains_key("gate"));
        table.stream(1, 0, "gate", Some(&json("gate")));
        assert_eq!(table.streams()["gate"].partition, 1);
    }

    #[test]
    fn who_was_heard_of_last_has_a_stream() {
        let mut table = Table::default();
        table.stream(2, 7, "gate", Some(&json("gate")));
        let tell = |table: &mut Table, name: &str, at: i64, partitions: &[i32]| {
            let record = MemberRecord {
                member: name.to_owned(),
                address: None,
                at: UtcTime(at * 1_000_000_000).to_rfc3339(),
                partitions: partitions.to_vec(),
                streams: BTreeMap::new(),
                capacity: None,
                load: 0.0,
            };
            table.member(name, Some(&serde_json::to_vec(&record).expect("it is JSON")));
        };
        tell(&mut table, "a", 100, &[2]);
        tell(&mut table, "b", 101, &[2]);
        let who = |table: &Table, now: i64| {
            table.view("gate", UtcTime(now * 1_000_000_000), 15.0).expect("it is known").member
        };
        assert_eq!(who(&table, 102).as_deref(), Some("b"));
        assert_eq!(who(&table, 200), None, "nobody was heard of");
        table.member("b", None);
        assert_eq!(who(&table, 102).as_deref(), Some("a"));
    }
}
