#!/usr/bin/env bash
# langchain4j takes a chat stream that ends with an error for a complete answer.
#
# Seen with dev.langchain4j:langchain4j-open-ai 1.19.0 and Java 17: the server sends one chunk of text, then an event with
# `error` as OpenAI does when it fails in the middle, and closes. onCompleteResponse gets the first half of the answer, with a
# finish reason of null; onError is never called. openai-java 4.101.0 raises SseException, OpenAI's other clients APIError.
#
# What works: take an answer whose finishReason() is null for broken, as our docs/CLIENTS.md says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>example</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>dev.langchain4j</groupId>
      <artifactId>langchain4j-open-ai</artifactId>
      <version>1.19.0</version>
    </dependency>
  </dependencies>
</project>
XML
cat >Look.java <<'JAVA'
import com.sun.net.httpserver.HttpServer;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import java.net.InetSocketAddress;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public class Look {
  static final String CHUNK = """
      data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Pay no"},"finish_reason":null}]}

      """;
  static final String ERROR = """
      data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":"server_error"}}

      """;

  public static void main(String[] arguments) throws Exception {
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", exchange -> {
      exchange.getRequestBody().readAllBytes();
      exchange.getResponseHeaders().add("content-type", "text/event-stream");
      exchange.sendResponseHeaders(200, 0);
      try (var out = exchange.getResponseBody()) {
        out.write((CHUNK + ERROR).getBytes());
      }
    });
    server.start();
    var url = "http://127.0.0.1:" + server.getAddress().getPort() + "/v1";
    var model = OpenAiStreamingChatModel.builder().baseUrl(url).apiKey("k").modelName("m").build();
    var seen = new CompletableFuture<String>();
    model.chat("Pay the invoice?", new StreamingChatResponseHandler() {
      public void onPartialResponse(String text) {}

      public void onCompleteResponse(ChatResponse response) {
        seen.complete("complete: \"" + response.aiMessage().text() + "\", finish reason " + response.finishReason());
      }

      public void onError(Throwable error) {
        seen.complete("error: " + error.getMessage());
      }
    });
    System.out.println(seen.get(30, TimeUnit.SECONDS));
    System.exit(0);
  }
}
JAVA
mvn -q -B dependency:build-classpath -Dmdep.outputFile=classpath >mvn.log 2>&1 || { cat mvn.log; exit 1; }
javac -cp "$(cat classpath)" Look.java
seen=$(java -cp ".:$(cat classpath)" Look 2>/dev/null)
expected='complete: "Pay no", finish reason null'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "CHANGED: this finding says $expected"; exit 1; }
