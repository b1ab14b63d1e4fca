//! The fleet's own topics: made where they are not there, refused where they are not as they must be.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;

use super::FleetError;
use super::client::{Client, Context, PATIENCE};

/// Settings of topics whose last record of each key is all that counts: small segments, compacted soon.
const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.2"),
];

/// How often what the brokers do not know yet is asked for, and the pause between.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the topics that are missing and looks at the others; returns how many partitions there are to share.
pub(super) async fn prepare(client: &Client) -> Result<i32, FleetError> {
    let admin = AdminClient::from_config_and_context(&client.config(&[]), Context);
    let admin = admin.map_err(|error| client.says(&error))?;
    let fleet = client.fleet();
    let (names, shares) = (&fleet.topics, i32::from(fleet.partitions));
    let replication = match fleet.replication {
        0 => -1,
        copies => i32::from(copies),
    };
    let wanted = [(&names.streams, shares), (&names.state, shares), (&names.members, 1)];
    let new = wanted.map(|(name, partitions)| {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        COMPACTED.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    for made in admin.create_topics(&new, &options).await.map_err(|error| client.says(&error))? {
        match made {
            Ok(name) => tracing::info!(topic = name, "made a topic of the fleet"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let problem = format!("is not there and cannot be made: {code}");
                let advice = format!("let somebody who may make it: {}", creation(&topic, shares));
                return Err(FleetError::Topic { topic, problem, advice });
            }
        }
    }
    compacted(client, &admin, &options).await?;
    shares_of(client, &admin).await
}

/// Each keeps the last record of each key for ever.
async fn compacted(
    client: &Client,
    admin: &AdminClient<Context>,
    options: &AdminOptions,
) -> Result<(), FleetError> {
    let names = &client.fleet().topics;
    for name in [&names.streams, &names.state, &names.members] {
        let Some(policy) = policy(client, admin, options, name).await? else {
            // Without the right to look, what it is like is taken on trust.
            tracing::warn!(topic = name, "the brokers do not say whether it is compacted");
            continue;
        };
        if policy != "compact" {
            return Err(FleetError::Topic {
                topic: name.clone(),
                problem: format!("has cleanup.policy={policy}: it would forget streams"),
                advice: format!(
                    "mend it with `kafka-configs.sh --bootstrap-server BROKER --alter --topic {name} --add-config cleanup.policy=compact`"
                ),
            });
        }
    }
    Ok(())
}

/// What becomes of a topic's old records; `None` where the brokers do not say it.
async fn policy(
    client: &Client,
    admin: &AdminClient<Context>,
    options: &AdminOptions,
    name: &str,
) -> Result<Option<String>, FleetError> {
    // A topic that was made a moment ago is not known everywhere yet.
    for _ in 0..TRIES {
        let asked = [ResourceSpecifier::Topic(name)];
        let told = admin.describe_configs(&asked, options).await.map_err(|error| client.says(&error))?;
        for resource in told.into_iter().flatten() {
            let entry = resource.entries.iter().find(|entry| entry.name == "cleanup.policy");
            if let Some(value) = entry.and_then(|entry| entry.value.clone()) {
                return Ok(Some(value));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// How many partitions settings have, and state beside them.
async fn shares_of(client: &Client, admin: &AdminClient<Context>) -> Result<i32, FleetError> {
    let names = &client.fleet().topics;
    let count = |name: &str| {
        let told = admin.inner().fetch_metadata(Some(name), PATIENCE).map_err(|error| client.says(&error))?;
        let partitions = told.topics().first().map_or(0, |topic| topic.partitions().len());
        Ok::<_, FleetError>(i32::try_from(partitions).unwrap_or(i32::MAX))
    };
    // A topic that was made a moment ago may not be everywhere yet.
    let mut found = (0, 0);
    for _ in 0..TRIES {
        found = (count(&names.streams)?, count(&names.state)?);
        if found.0 > 0 && found.0 == found.1 {
            return Ok(found.0);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let (streams, state) = found;
    Err(FleetError::Topic {
        topic: names.state.clone(),
        problem: format!("has {state} partitions, and {} has {streams}: they go together", names.streams),
        advice: format!(
            "mend it with `kafka-topics.sh --bootstrap-server BROKER --alter --topic {} --partitions {streams}`",
            names.state
        ),
    })
}

fn creation(topic: &str, partitions: i32) -> String {
    format!(
        "`kafka-topics.sh --bootstrap-server BROKER --create --topic {topic} --partitions {partitions} --config cleanup.policy=compact`"
    )
}
