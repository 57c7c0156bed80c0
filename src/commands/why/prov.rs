//! The same tree as a document of W3C PROV (PROV-JSON): products and files are entities, runs activities, the program their
//! agent.

use serde_json::{Map, Value, json};

use super::super::log::typed;
use crate::store::{Artifact, Product, RunId, Store, StoreError, Thing};

/// Everything that a thing goes back to.
pub fn document(store: &Store, thing: &Thing) -> Result<Value, StoreError> {
    let mut document = Document { store, parts: Map::new(), relations: 0 };
    match thing {
        Thing::Run(run) => {
            document.run(*run)?;
        }
        Thing::Product(product) => {
            document.product(product)?;
        }
        Thing::Survey { id, .. } => document.built_on(thing, &store.products_of_survey(*id)?)?,
        Thing::Galaxy { id, .. } => document.built_on(thing, &store.products_of_galaxy(*id)?)?,
    }
    document.parts.insert("prefix".to_owned(), json!({ "sedflow": "urn:sedflow:" }));
    Ok(Value::Object(document.parts))
}

struct Document<'a> {
    store: &'a Store,
    /// `entity`, `activity`, `agent` and the relations, each a map by identifier.
    parts: Map<String, Value>,
    relations: usize,
}

impl Document<'_> {
    /// Puts a thing in; false if it is in already.
    fn put(&mut self, part: &str, id: &str, what: Value) -> bool {
        let all = self.parts.entry(part).or_insert_with(|| json!({}));
        let is_new = all.get(id).is_none();
        if is_new {
            all[id] = what;
        }
        is_new
    }

    fn relate(&mut self, relation: &str, ends: Value) {
        self.relations += 1;
        let id = format!("_:{relation}{}", self.relations);
        self.put(relation, &id, ends);
    }

    /// A galaxy or survey with the products it is of.
    fn built_on(&mut self, thing: &Thing, products: &[Product]) -> Result<(), StoreError> {
        let id = format!("sedflow:{}", thing.handle().replace(':', "."));
        self.put("entity", &id, json!({ "prov:label": thing.handle() }));
        for product in products {
            let used = self.product(product)?;
            self.relate("wasDerivedFrom", json!({ "prov:generatedEntity": id, "prov:usedEntity": used }));
        }
        Ok(())
    }

    fn product(&mut self, product: &Product) -> Result<String, StoreError> {
        let kind = product.kind.as_str();
        let id = format!("sedflow:{kind}.{}", product.hash);
        let label = product.name.clone().unwrap_or_else(|| product.handle());
        let what =
            json!({ "prov:label": label, "sedflow:kind": kind, "sedflow:hash": product.hash.to_string() });
        if self.put("entity", &id, what) {
            for run in self.store.runs_of(product)? {
                let run = self.run(run)?;
                self.relate("wasGeneratedBy", json!({ "prov:entity": id, "prov:activity": run }));
            }
            for part in self.store.parts_of(product)? {
                let used = self.product(&part)?;
                self.relate("wasDerivedFrom", json!({ "prov:generatedEntity": id, "prov:usedEntity": used }));
            }
        }
        Ok(id)
    }

    fn run(&mut self, run: RunId) -> Result<String, StoreError> {
        let id = format!("sedflow:run.{run}");
        let run_of = self.store.run(run)?;
        let mut what = json!({
            "prov:label": format!("sedflow {}", typed(&run_of.arguments)),
            "prov:startTime": run_of.started_utc,
            "sedflow:state": run_of.state.to_string(),
            "sedflow:config": run_of.config.to_string(),
        });
        if let Some(ended) = run_of.ended_utc {
            what["prov:endTime"] = json!(ended);
        }
        if let Some(seed) = run_of.seed {
            what["sedflow:seed"] = json!(seed.to_string());
        }
        if self.put("activity", &id, what) {
            let (version, commit) = (run_of.program_version, run_of.git_commit);
            let agent = format!("sedflow:program.{version}.{commit}");
            let what = json!({ "prov:type": { "$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME" },
                               "prov:label": format!("sedflow {version}"), "sedflow:commit": commit });
            self.put("agent", &agent, what);
            self.relate("wasAssociatedWith", json!({ "prov:activity": id, "prov:agent": agent }));
            for input in self.store.run_inputs(run)? {
                let used = self.input(&input)?;
                self.relate("used", json!({ "prov:activity": id, "prov:entity": used }));
            }
        }
        Ok(id)
    }

    fn input(&mut self, input: &Artifact) -> Result<String, StoreError> {
        if input.kind != "file"
            && let Some(product) = self.store.product_of_hash(input.hash)?
        {
            return self.product(&product);
        }
        let id = format!("sedflow:{}.{}", input.kind, input.hash);
        let what = json!({ "prov:label": input.name, "sedflow:kind": input.kind, "sedflow:hash": input.hash.to_string() });
        self.put("entity", &id, what);
        Ok(id)
    }
}
