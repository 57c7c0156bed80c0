//! Flow checkpoints, as given and with the checksum that a forger would put into their header
//! (`docs/checkpoint-format.md`).

use std::collections::HashMap;

use safetensors::SafeTensors;
use sedflow::flow::{ConditionalFlow, FlowConfig};
use sedflow::hash::ContentHash;
use sedflow::infer::Npe;
use serde_json::Value;

pub fn run(bytes: &[u8]) {
    check(bytes);
    if let Some(sealed) = sealed(bytes) {
        check(&sealed);
    }
}

fn check(bytes: &[u8]) {
    let _ = Npe::from_bytes(bytes);
    if let Ok(flow) = ConditionalFlow::from_bytes(bytes) {
        let x = vec![0.1; flow.n_feature()];
        let draws = flow.sample(x.as_slice().into(), 3, 1, 0).unwrap();
        assert_eq!(draws.dim(), (3, flow.n_param()));
    }
}

fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let mut envelope: Value = serde_json::from_str(metadata.metadata().as_ref()?.get("sedflow")?).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(b.0));
    let (format, header) = (envelope["format"].as_str()?.to_owned(), envelope["header"].to_string());
    let mut parts = vec![format.as_bytes(), header.as_bytes()];
    tensors.iter().for_each(|(name, view)| parts.extend([name.as_bytes(), view.data()]));
    envelope["checksum"] = ContentHash::of_parts(parts).to_string().into();
    let text = HashMap::from([("sedflow".to_owned(), envelope.to_string())]);
    safetensors::serialize(tensors, Some(text)).ok()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let small = |mut config: FlowConfig| {
        config.layers = 2;
        config.hidden = vec![3, 4];
        if let sedflow::flow::Conditioner::Residual { width, blocks } = &mut config.conditioner {
            (*width, *blocks) = (4, 1);
        }
        ConditionalFlow::untrained(config, 1).unwrap().to_bytes().unwrap()
    };
    vec![small(FlowConfig::nsf(3, 2)), small(FlowConfig::maf(2, 1))]
}
