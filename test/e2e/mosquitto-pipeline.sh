# Each message's topic names the sensor, its payload is a JSON object such as { "temperature": 21.5, "humidity": 63 }.
# -R leaves out what the broker kept from before: it says nothing about now. A payload that is no JSON is reported and left out.
mosquitto_sub -R -t 'greenhouse-1/#' -F '%j' |
  jq -c --unbuffered '{ sensor: .topic, fields: (.payload | fromjson) }' |
  hedgerow append --stdin
