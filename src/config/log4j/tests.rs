//! TorchServe's own configuration, and what users write.

use std::collections::BTreeMap;

use tracing_subscriber::filter::LevelFilter;

use super::*;
use crate::telemetry::{ACCESS_PATTERN, Pattern, SERVER_PATTERN};

/// The shape of the file that TorchServe has in its archive, with what its documents suggest.
const TORCHSERVE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <RollingFile name="access_log" fileName="${env:LOG_LOCATION:-logs}/access_log.log"
        filePattern="${env:LOG_LOCATION:-logs}/access_log.%d{dd-MMM}.log.gz">
      <PatternLayout pattern="%d{ISO8601} - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="100 MB"/><TimeBasedTriggeringPolicy/></Policies>
      <DefaultRolloverStrategy max="5"/>
    </RollingFile>
    <Console name="STDOUT" target="SYSTEM_OUT">
      <PatternLayout pattern="%d{ISO8601} [%-5p] %t %c - %m%n"/>
    </Console>
    <RollingFile name="ts_log" fileName="${env:LOG_LOCATION:-logs}/ts_log.log">
      <PatternLayout pattern="%d{ISO8601} [%-5p] %t %c - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="100 MB"/><TimeBasedTriggeringPolicy/></Policies>
      <DefaultRolloverStrategy max="5"/>
    </RollingFile>
    <RollingFile name="ts_metrics" fileName="${env:METRICS_LOCATION:-logs}/ts_metrics.log">
      <PatternLayout pattern="%d{ISO8601} - %m%n"/>
      <Policies><TimeBasedTriggeringPolicy/></Policies>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="info"><AppenderRef ref="access_log"/></Logger>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.pytorch.serve" level="debug"><AppenderRef ref="ts_log"/></Logger>
    <Logger name="TS_METRICS" level="all"><AppenderRef ref="ts_metrics"/></Logger>
    <Root level="info"><AppenderRef ref="STDOUT"/><AppenderRef ref="ts_log"/></Root>
  </Loggers>
</Configuration>"#;

fn parse(xml: &str, variables: &[(&str, &str)]) -> (Result<Log4j, String>, Vec<String>) {
    let environment: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut unread = Vec::new();
    let log4j = Log4j::parse(xml, &environment, &mut unread);
    (log4j, unread)
}

fn of(body: &str) -> (Log4j, Vec<String>) {
    let (log4j, unread) = parse(&format!("<Configuration>{body}</Configuration>"), &[]);
    (log4j.unwrap(), unread)
}

fn pattern(text: &str) -> Layout {
    Layout::Pattern(Pattern::parse(text, &mut Vec::new()))
}

#[test]
fn torchserves_own_file_is_read_without_a_word() {
    let (log4j, unread) = parse(TORCHSERVE, &[("LOG_LOCATION", "/var/log/ts")]);
    assert_eq!(unread, [""; 0]);
    let log4j = log4j.unwrap();
    let levels = |server, access, model| Levels { server, access, model };
    let (info, off, debug) = (LevelFilter::INFO, LevelFilter::OFF, LevelFilter::DEBUG);
    let file = |name: &str| {
        let path = format!("/var/log/ts/{name}").into();
        Destination::File(RollingSettings { path, size: Some(100 << 20), daily: true, keep: 5 })
    };
    let sink = |to, text, levels| Sink { to, layout: pattern(text), levels };
    assert_eq!(
        log4j.sinks,
        [
            sink(file("ts_log.log"), SERVER_PATTERN, levels(debug, info, info)),
            sink(Destination::Stdout, SERVER_PATTERN, levels(debug, info, info)),
            sink(file("access_log.log"), ACCESS_PATTERN, levels(off, info, off)),
        ]
    );
    let metrics = log4j.server_metrics.unwrap();
    assert_eq!(metrics.path, Path::new("logs/ts_metrics.log"));
    assert_eq!((metrics.size, metrics.daily, metrics.keep), (None, true, 7));
}

#[test]
fn levels_additivity_thresholds_and_async_decide_who_hears_what() {
    let (log4j, unread) = of(r#"
        <Properties><Property name="dir">/l</Property><Property name="f" value="${dir}/x"/></Properties>
        <appenders>
          <File name="f" fileName="${f}.log"><PatternLayout><Pattern>%m%n</Pattern></PatternLayout></File>
          <Console name="err" target="SYSTEM_ERR"><ThresholdFilter level="WARN"/></Console>
          <Async name="a"><AppenderRef ref="f" level="error"/></Async>
        </appenders>
        <loggers>
          <Logger name="ACCESS_LOG" level="OFF" additivity="false"><AppenderRef ref="f"/></Logger>
          <Logger name="MODEL_LOG" additivity="false"><AppenderRef ref="a"/></Logger>
          <Logger name="org.pytorch.serve" level="trace"/>
          <AsyncRoot level="${env:LEVEL:-info}"><AppenderRef ref="f"/><AppenderRef ref="err"/></AsyncRoot>
        </loggers>"#);
    assert_eq!(unread, [""; 0]);
    let [file, err] = log4j.sinks.as_slice() else { panic!("{:?}", log4j.sinks) };
    let path = "/l/x.log".into();
    let settings = RollingSettings { path, size: None, daily: false, keep: KEPT_BY_DEFAULT };
    assert_eq!(file.to, Destination::File(settings));
    assert_eq!((file.levels.server, file.levels.model), (LevelFilter::TRACE, LevelFilter::ERROR));
    assert_eq!(file.levels.access, LevelFilter::OFF);
    assert_eq!((&err.to, err.levels.server), (&Destination::Stderr, LevelFilter::WARN));
    assert_eq!(err.layout, pattern("%m%n"));
}

const KEPT_BY_DEFAULT: usize = 7;

#[test]
fn what_is_not_read_is_named() {
    let (log4j, unread) = of(r#"
        <Appenders>
          <Socket name="s" host="h"/>
          <RollingFile name="r" fileName="a.log">
            <JsonTemplateLayout eventTemplateUri="x"/>
            <Policies><CronTriggeringPolicy schedule="0 0 * * * ?"/><SizeBasedTriggeringPolicy size="1 KB"/></Policies>
            <RegexFilter regex="x"/>
          </RollingFile>
          <File name="p" fileName="${sys:nothing}/b.log"><PatternLayout pattern="%m %X{id}%n"/></File>
        </Appenders>
        <Loggers><Root level="loud"><AppenderRef ref="s"/><AppenderRef ref="r"/><AppenderRef ref="q"/></Root></Loggers>"#);
    assert_eq!(log4j.sinks.len(), 1);
    assert_eq!(log4j.sinks[0].layout, Layout::Json);
    let unread = unread.join("\n");
    for part in [
        "appender s: Socket is not supported",
        "appender r: its template has no effect",
        "appender r: CronTriggeringPolicy has no effect",
        "appender r: RegexFilter has no effect",
        "${sys:nothing} has no value",
        "appender p: %X is left out of lines",
        "there is no level \"loud\"",
        "there is no appender q",
    ] {
        assert!(unread.contains(part), "{part}\n{unread}");
    }
}

#[test]
fn what_is_no_configuration_is_told_and_harms_nobody() {
    let bomb = "<!DOCTYPE c [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Configuration>&b;</Configuration>";
    for text in ["", "no xml", "<Configuration>", "<other/>", "log4j.rootLogger=INFO, A1", bomb] {
        assert!(parse(text, &[]).0.is_err(), "{text}");
    }
    let (silent, unread) = of("");
    assert_eq!(silent.sinks, []);
    assert!(unread[0].contains("nothing is logged"), "{unread:?}");
    // A property that names itself ends.
    let (_, unread) = of("<Properties><Property name=\"a\" value=\"${a}\"/></Properties>");
    assert!(unread.iter().any(|text| text.contains("${a} has no value")), "{unread:?}");
    let mut notes = Vec::new();
    let environment = BTreeMap::new();
    assert_eq!(read(Path::new("/none/log4j2.xml"), &environment, &mut notes), None);
    assert!(notes[0].text.contains("logging as without it"), "{notes:?}");
}
