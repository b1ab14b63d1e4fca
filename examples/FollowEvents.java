import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Follows the events of all streams and prints each one when it is over.
 *
 * <pre>java -cp 'KAFKA/libs/*' examples/FollowEvents.java localhost:9092 avicuna.events [--until-end]</pre>
 *
 * <p>Needs kafka-clients and jackson-databind, both in Kafka's own libs. What a consumer has to know is in docs/events.md and docs/delivery.md:
 * a record may come twice with the same {@code ce_id}, and of an event the record with the highest revision holds.
 */
public final class FollowEvents {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Of each event the highest revision that was seen. */
    private final Map<String, Long> revisions = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        boolean untilEnd = arguments.length == 3 && arguments[2].equals("--until-end");
        if (arguments.length != (untilEnd ? 3 : 2)) {
            System.err.println("usage: FollowEvents BROKERS TOPIC [--until-end]");
            System.exit(2);
        }
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0],
            "group.id", "follow-events-java",
            "auto.offset.reset", "earliest",
            "enable.auto.commit", "false",
            "allow.auto.create.topics", "false",
            // Not the default of Java's clients: what a daemon of a fleet could not commit was never said.
            "isolation.level", "read_committed");
        var events = new FollowEvents();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            // Fails where no broker answers; a client that only polls would wait for ever, and say nothing.
            if (consumer.partitionsFor(arguments[1], Duration.ofSeconds(10)).isEmpty()) {
                System.err.println(arguments[0] + " have no topic " + arguments[1]);
                System.exit(1);
            }
            consumer.subscribe(List.of(arguments[1]));
            do {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    try {
                        String line = events.take(record);
                        if (line != null) {
                            System.out.println(line);
                        }
                    } catch (JsonProcessingException | RuntimeException error) {
                        // One that nobody can read must not hold up all that follow.
                        System.err.printf("%s, partition %d, offset %d: %s%n", record.topic(), record.partition(), record.offset(), error.getMessage());
                    }
                }
                // After they were printed: who is killed here prints them again, and loses nothing.
                consumer.commitSync();
            } while (!(untilEnd && isAtEnd(consumer)));
        }
    }

    private static boolean isAtEnd(KafkaConsumer<?, ?> consumer) {
        var assigned = consumer.assignment();
        var ends = consumer.endOffsets(assigned);
        return !assigned.isEmpty() && assigned.stream().allMatch(partition -> consumer.position(partition) >= ends.get(partition));
    }

    /** What there is to say of a record; null unless it ends its event. */
    private String take(ConsumerRecord<String, String> message) throws JsonProcessingException {
        var type = message.headers().lastHeader("ce_type");
        // A newer major version is another type; what it says is not known here.
        if (type == null || !new String(type.value(), StandardCharsets.UTF_8).equals("avicuna.event.v1")) {
            return null;
        }
        JsonNode record = JSON.readTree(message.value());
        long revision = record.get("revision").asLong();
        Long known = revisions.get(record.get("event_id").asText());
        if (known != null && revision <= known) {
            return null;
        }
        revisions.put(record.get("event_id").asText(), revision);
        if (!record.get("phase").asText().equals("ended")) {
            return null;
        }
        return String.join("\t", record.get("stream_id").asText(), record.at("/start/utc").asText(), record.at("/end/utc").asText(),
            record.path("modality").asText("-"), record.get("label").asText());
    }
}
