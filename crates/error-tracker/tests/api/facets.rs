//! The values that lists can be filtered by.

use serde_json::json;

use super::{accepted, report_with, service};

#[tokio::test]
async fn values_come_with_the_number_of_their_groups() {
    let service = service();
    for (line, fields) in [
        (
            1,
            json!({"level": "error", "release": "1.0", "tags": {"region": "eu"}}),
        ),
        (1, json!({"level": "error", "release": "1.1"})),
        (
            2,
            json!({"level": "error", "environment": "prod", "server_name": "web-1"}),
        ),
        (
            3,
            json!({"level": "warning", "release": "1.1", "project": "other"}),
        ),
    ] {
        accepted(&service, &report_with(line, fields)).await;
    }
    let value = |name: &str, groups: i64| json!({"value": name, "groups": groups});
    let all = service.get("/api/facets").await.expect(200).json();
    assert_eq!(
        all,
        json!({
            "level": {"values": [value("error", 2), value("warning", 1)], "total": 2},
            "release": {"values": [value("1.1", 2), value("1.0", 1)], "total": 2},
            "environment": {"values": [value("prod", 1)], "total": 1},
            "server_name": {"values": [value("web-1", 1)], "total": 1},
            "tag": {"values": [value("region:eu", 1)], "total": 1},
        })
    );
    let shop = service.get("/api/facets?project=shop").await.json();
    assert_eq!(
        shop["level"],
        json!({"values": [value("error", 2)], "total": 1})
    );
    assert_eq!(
        shop["release"]["values"],
        json!([value("1.0", 1), value("1.1", 1)])
    );
    let nowhere = service
        .get("/api/facets?project=nowhere")
        .await
        .expect(200)
        .json();
    assert_eq!(nowhere["level"], json!({"values": [], "total": 0}));
}

#[tokio::test]
async fn what_no_group_has_any_more_is_not_offered() {
    let service = service();
    accepted(&service, &report_with(1, json!({"release": "1.0"}))).await;
    service.delete("/api/errors/1").await.expect(200);
    let all = service.get("/api/facets").await.json();
    assert_eq!(all["release"], json!({"values": [], "total": 0}));
}

#[tokio::test]
async fn the_values_of_the_most_groups_are_listed() {
    let service = service();
    for line in 0..120 {
        let tags = json!({"n": format!("{line:03}"), "even": line % 2 == 0});
        accepted(&service, &report_with(line, json!({"tags": tags}))).await;
    }
    for query in ["", "?project=shop"] {
        let tags = service.get(&format!("/api/facets{query}")).await.json()["tag"].clone();
        let values = tags["values"].as_array().expect("a list");
        assert_eq!((values.len(), &tags["total"]), (100, &json!(122)));
        assert_eq!(values[0], json!({"value": "even:false", "groups": 60}));
        assert_eq!(values[1], json!({"value": "even:true", "groups": 60}));
        assert_eq!(values[2]["value"], "n:000");
        assert_eq!(values[99]["value"], "n:097");
    }
}
