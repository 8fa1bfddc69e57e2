//! Promise to everybody who runs these tests: nothing of a world is left behind, not even when its test fails.

use std::process::Command;

use aegis_tests::World;

fn left_of(id: &str) -> String {
    let ask = |args: &[&str]| {
        let output = Command::new("docker").args(args).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_else(|error| error.to_string())
    };
    let name = format!("name={id}");
    ask(&["ps", "-aq", "--filter", &name]) + &ask(&["network", "ls", "-q", "--filter", &name])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_removes_what_it_made_also_when_its_test_panics() {
    // On a runtime of its own, as every test has one.
    let test = std::thread::spawn(|| {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let world = World::new().await;
            world.patient("buggy").start().await;
            world.nginx("lb").await;
            let id = world.id().to_owned();
            assert_ne!(left_of(&id), "");
            std::panic::panic_any(id);
        })
    });
    let panic = tokio::task::spawn_blocking(|| test.join())
        .await
        .unwrap()
        .unwrap_err();
    let id = panic.downcast::<String>().unwrap();
    assert_eq!(left_of(&id), "");
}
