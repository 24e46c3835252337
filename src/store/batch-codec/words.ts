/**
 * Field names and units that cost one byte in a batch. Part of format version 1: entries never move, change or go;
 * whatever is not here is written out.
 */
/** SenML units (RFC 8428 section 12.1 and RFC 8798) and the most common other spellings. */
export const unitWords: readonly string[] = (
  'm kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 ' +
  'cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var vars J/m ' +
  'kg/m3 deg NTU ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 ' +
  'mm/h m/h ppm /100 /1000 hPa mm cm km km/h °C °F bar kPa l/min l/h m3/h rpm ug mg ppb kHz mW MWh us d mbar uS/cm'
).split(' ')

export const fieldWords: readonly string[] = (
  'temperature humidity pressure voltage current power energy frequency value temp hum battery rssi snr co2 pm25 pm10 ' +
  'light lux illuminance noise level flow volume speed wind_speed wind_direction wind_gust rain rainfall radiation ' +
  'dew_point soil_moisture soil_temperature moisture conductivity ph ec par tsr tvoc voc no2 o3 so2 co nh3 o2 ' +
  'air_quality occupancy motion presence contact door window state status switch on open alarm error count counter ' +
  'total position latitude longitude altitude distance height weight mass angle direction rotation rpm torque ' +
  'vibration acceleration x y z vx vy vz in out inlet outlet supply return setpoint power_factor apparent_power ' +
  'reactive_power active_power energy_total l1 l2 l3 t t1 t2 t3 h p v i u f signal link_quality uptime ' +
  'water gas pm1 pm4 uv uv_index leak smoke tank depth brightness color mode'
).split(' ')
