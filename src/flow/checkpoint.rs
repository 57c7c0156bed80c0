//! Flows to and from bytes: a safetensors file whose metadata says what the flow is.
//!
//! The layout is documented in `docs/checkpoint-format.md`. Version 1 is read for ever.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::ensemble::Ensemble;
use super::layout::Layout;
use super::{ConditionalFlow, FlowConfig, FlowError, FlowInfo, Scaling};
use crate::hash::ContentHash;

/// The version this program writes, and the newest it reads.
pub const VERSION: u32 = 1;
const FORMAT: &str = "sedflow flow";
const ENSEMBLE_FORMAT: &str = "sedflow ensemble";
/// The one metadata entry of the safetensors header.
const KEY: &str = "sedflow";

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("not a {expected}: {reason}")]
    Foreign { expected: &'static str, reason: String },
    #[error("this is a {found}, not a {expected}")]
    OtherKind { found: String, expected: &'static str },
    #[error("format version {found} is newer than this program, which reads up to version {VERSION}")]
    Newer { found: u32 },
    #[error("the header is damaged: {reason}")]
    Header { reason: String },
    #[error("tensor `{name}` is missing")]
    Missing { name: String },
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("the contents do not match their checksum {expected}: the file is damaged")]
    Checksum { expected: ContentHash },
    #[error(transparent)]
    Flow(#[from] FlowError),
}

/// Shape and numbers of each tensor of a file, by name.
pub(crate) type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// A named array to be written.
pub(crate) struct Tensor<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: &'a [f32],
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: String,
    version: u32,
    /// Over the header and all tensors in the order written.
    checksum: ContentHash,
    header: Value,
}

fn checksum<'a>(
    format: &str,
    header: &Value,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> ContentHash {
    let header = header.to_string();
    let mut parts: Vec<&[u8]> = vec![format.as_bytes(), header.as_bytes()];
    for (name, bytes) in tensors {
        parts.extend([name.as_bytes(), bytes]);
    }
    ContentHash::of_parts(parts)
}

/// One safetensors file: `header` and `tensors`, which must have distinct names.
pub(crate) fn write(format: &str, header: Value, tensors: &[Tensor]) -> Result<Vec<u8>, CheckpointError> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by(|a, b| tensors[*a].name.cmp(&tensors[*b].name));
    let sum =
        checksum(format, &header, order.iter().map(|&i| (tensors[i].name.as_str(), bytes[i].as_slice())));
    let envelope = Envelope { format: format.to_owned(), version: VERSION, checksum: sum, header };
    let damaged = |error: &dyn std::fmt::Display| CheckpointError::Header { reason: error.to_string() };
    let text = serde_json::to_string(&envelope).map_err(|error| damaged(&error))?;
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|(t, bytes)| Ok((t.name.as_str(), TensorView::new(Dtype::F32, t.shape.clone(), bytes)?)))
        .collect();
    let views = views.map_err(|error: safetensors::SafeTensorError| damaged(&error))?;
    safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), text)])))
        .map_err(|error| damaged(&error))
}

/// The header and tensors of a file that [`write`] made for `format`.
pub(crate) fn read(format: &'static str, bytes: &[u8]) -> Result<(Value, Tensors), CheckpointError> {
    let (_, header, tensors) = read_any(&[format], bytes)?;
    Ok((header, tensors))
}

/// As [`read`] for any of `formats`, and which it is; errors speak of the first.
fn read_any(formats: &[&'static str], bytes: &[u8]) -> Result<(usize, Value, Tensors), CheckpointError> {
    let format = formats[0];
    let foreign = |reason: String| CheckpointError::Foreign { expected: format, reason };
    if bytes.len() < 8 {
        return Err(foreign(format!("{} bytes are too few", bytes.len())));
    }
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| foreign(describe(&error, bytes)))?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
    let text = text.ok_or_else(|| foreign(format!("a safetensors file without a `{KEY}` entry")))?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| CheckpointError::Header { reason: error.to_string() })?;
    let Some(kind) = formats.iter().position(|format| value["format"] == *format) else {
        return Err(CheckpointError::OtherKind { found: value["format"].to_string(), expected: format });
    };
    // The version comes first: a later one may have changed everything else.
    match value["version"].as_u64() {
        Some(version) if version > u64::from(VERSION) => {
            return Err(CheckpointError::Newer { found: version.try_into().unwrap_or(u32::MAX) });
        }
        Some(_) => {}
        None => return Err(CheckpointError::Header { reason: "no version".to_owned() }),
    }
    let envelope: Envelope = serde_json::from_value(value)
        .map_err(|error| CheckpointError::Header { reason: error.to_string() })?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| foreign(describe(&error, bytes)))?;
    let mut tensors: Vec<(&str, TensorView)> = file.iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(b.0));
    if let Some((name, view)) = tensors.iter().find(|(_, view)| view.dtype() != Dtype::F32) {
        let reason = format!("tensor `{name}` holds {:?}, not F32", view.dtype());
        return Err(CheckpointError::Header { reason });
    }
    let found =
        checksum(formats[kind], &envelope.header, tensors.iter().map(|(name, view)| (*name, view.data())));
    if found != envelope.checksum {
        return Err(CheckpointError::Checksum { expected: envelope.checksum });
    }
    let values = |view: &TensorView| {
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let tensors =
        tensors.iter().map(|(name, view)| ((*name).to_owned(), (view.shape().to_vec(), values(view))));
    Ok((kind, envelope.header, tensors.collect()))
}

fn describe(error: &safetensors::SafeTensorError, bytes: &[u8]) -> String {
    use safetensors::SafeTensorError as E;
    match error {
        E::MetadataIncompleteBuffer | E::InvalidHeaderLength => {
            format!("the file is cut short, or longer than its header says ({} bytes)", bytes.len())
        }
        E::HeaderTooLarge | E::InvalidHeader(_) | E::InvalidHeaderDeserialization(_) => {
            "it does not start with a safetensors header".to_owned()
        }
        other => other.to_string(),
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    config: FlowConfig,
    coordinates: String,
    extra: Value,
}

#[derive(Serialize, Deserialize)]
struct EnsembleHeader {
    members: Vec<MemberHeader>,
    coordinates: String,
    extra: Value,
}

#[derive(Serialize, Deserialize)]
struct MemberHeader {
    config: FlowConfig,
    weight: f64,
}

fn header_error(error: serde_json::Error) -> CheckpointError {
    CheckpointError::Header { reason: error.to_string() }
}

/// The weights' tensors of a layout, as slices of the flat vector, under `prefix`.
pub(crate) fn weight_tensors<'a>(layout: &Layout, weights: &'a [f32], prefix: &str) -> Vec<Tensor<'a>> {
    let tensors = layout.tensors.iter().map(|t| Tensor {
        name: format!("{prefix}{}", t.name),
        shape: vec![t.mat.rows, t.mat.cols],
        values: &weights[t.mat.range()],
    });
    tensors.collect()
}

/// Takes a tensor of known shape out of `tensors`.
pub(crate) fn take(tensors: &mut Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
    let (found, values) =
        tensors.remove(name).ok_or_else(|| CheckpointError::Missing { name: name.to_owned() })?;
    if found != shape {
        return Err(CheckpointError::Shape { name: name.to_owned(), found, expected: shape.to_vec() });
    }
    Ok(values)
}

/// The flat vector of weights from its tensors under `prefix`.
pub(crate) fn take_weights(
    layout: &Layout,
    tensors: &mut Tensors,
    prefix: &str,
) -> Result<Vec<f32>, CheckpointError> {
    let mut weights = vec![0.0; layout.len];
    for tensor in &layout.tensors {
        let shape = [tensor.mat.rows, tensor.mat.cols];
        let values = take(tensors, &format!("{prefix}{}", tensor.name), &shape)?;
        weights[tensor.mat.range()].copy_from_slice(&values);
    }
    Ok(weights)
}

pub(crate) fn scaling_tensors<'a>(name: &str, scaling: &'a Scaling) -> [Tensor<'a>; 2] {
    let tensor = |part: &str, values: &'a [f32]| Tensor {
        name: format!("scaling.{name}.{part}"),
        shape: vec![values.len()],
        values,
    };
    [tensor("shift", scaling.shift()), tensor("scale", scaling.scale())]
}

pub(crate) fn take_scaling(
    name: &str,
    width: usize,
    tensors: &mut Tensors,
) -> Result<Scaling, CheckpointError> {
    let shift = take(tensors, &format!("scaling.{name}.shift"), &[width])?;
    let scale = take(tensors, &format!("scaling.{name}.scale"), &[width])?;
    Scaling::from_parts(shift, scale).ok_or_else(|| CheckpointError::Header {
        reason: format!("the scaling of {name} is not positive and finite"),
    })
}

impl ConditionalFlow {
    /// The flow as one file (`docs/checkpoint-format.md`); equal flows give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        flow_to_bytes(self, &self.info)
    }

    /// Errors with what is wrong where `bytes` are not a flow this program can read, or are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (header, tensors) = read(FORMAT, bytes)?;
        flow_from_parts(header, tensors)
    }

    /// Weights and scalings under `prefix`.
    fn tensors(&self, prefix: &str) -> Vec<Tensor<'_>> {
        let mut tensors = weight_tensors(&self.network.layout, &self.weights, prefix);
        let mut scalings = Vec::from(scaling_tensors("theta", &self.theta_scaling));
        scalings.extend(scaling_tensors("x", &self.x_scaling));
        scalings.iter_mut().for_each(|tensor| tensor.name.insert_str(0, prefix));
        tensors.append(&mut scalings);
        tensors
    }
}

fn flow_to_bytes(flow: &ConditionalFlow, info: &FlowInfo) -> Result<Vec<u8>, CheckpointError> {
    let header = Header {
        config: flow.config().clone(),
        coordinates: info.coordinates.clone(),
        extra: info.extra.clone(),
    };
    write(FORMAT, serde_json::to_value(header).map_err(header_error)?, &flow.tensors(""))
}

fn flow_from_parts(header: Value, mut tensors: Tensors) -> Result<ConditionalFlow, CheckpointError> {
    let header: Header = serde_json::from_value(header).map_err(header_error)?;
    let info = FlowInfo { coordinates: header.coordinates, extra: header.extra };
    take_flow(header.config, info, &mut tensors)
}

/// The flow whose tensors these are.
fn take_flow(
    config: FlowConfig,
    info: FlowInfo,
    tensors: &mut Tensors,
) -> Result<ConditionalFlow, CheckpointError> {
    let layout = Layout::new(&config)?;
    let weights = take_weights(&layout, tensors, "")?;
    let theta = take_scaling("theta", config.n_param, tensors)?;
    let x = take_scaling("x", config.n_feature, tensors)?;
    Ok(ConditionalFlow::new(config, weights, theta, x, info)?)
}

impl Ensemble {
    /// The mixture as one file (`docs/checkpoint-format.md`); that of one flow is the flow's.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        if let [only] = self.members() {
            return flow_to_bytes(only, &self.info);
        }
        let members = self.members().iter().zip(self.weights());
        let header = EnsembleHeader {
            members: members
                .map(|(m, &weight)| MemberHeader { config: m.config().clone(), weight })
                .collect(),
            coordinates: self.info.coordinates.clone(),
            extra: self.info.extra.clone(),
        };
        let tensors = self.members().iter().enumerate().flat_map(|(m, flow)| flow.tensors(&member_prefix(m)));
        let tensors: Vec<Tensor> = tensors.collect();
        write(ENSEMBLE_FORMAT, serde_json::to_value(header).map_err(header_error)?, &tensors)
    }

    /// From the file of an ensemble or of a single flow; errors as [`ConditionalFlow::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (kind, header, mut tensors) = read_any(&[FORMAT, ENSEMBLE_FORMAT], bytes)?;
        if kind == 0 {
            return Ok(flow_from_parts(header, tensors)?.into());
        }
        let header: EnsembleHeader = serde_json::from_value(header).map_err(header_error)?;
        let mut members = Vec::new();
        let mut weights = Vec::new();
        for (m, MemberHeader { config, weight }) in header.members.into_iter().enumerate() {
            let prefix = member_prefix(m);
            let names: Vec<String> =
                tensors.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
            let own = names.into_iter().filter_map(|name| {
                let tensor = tensors.remove(&name)?;
                Some((name[prefix.len()..].to_owned(), tensor))
            });
            let mut own: Tensors = own.collect();
            members.push(take_flow(config, FlowInfo::default(), &mut own)?);
            weights.push(weight);
        }
        let info = FlowInfo { coordinates: header.coordinates, extra: header.extra };
        Ok(Self::weighted(members, &weights, info)?)
    }
}

fn member_prefix(member: usize) -> String {
    format!("member{member}.")
}
