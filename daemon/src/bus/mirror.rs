//! Objects whose properties mirror a part of the status: put on the bus, kept up to date, taken away.

use std::collections::{BTreeMap, HashMap};

use parking_lot::{Mutex, MutexGuard};
use zbus::fdo::Properties;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

/// What an object shows, to be replaced when the status changes.
///
/// A lock of its own and not `&mut self`: a method that waits for the service must not hold up a change of properties.
#[derive(Debug)]
pub struct Shown<T>(Mutex<T>);

impl<T> Shown<T> {
    /// Shows this first.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// What is shown now. The lock is for a look, never across an `await`.
    pub fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Shows something else.
    pub fn set(&self, value: T) {
        *self.get() = value;
    }
}

/// An interface that shows a model.
pub trait Mirrors: Interface + Sized {
    /// What its properties are made from. An equal model is not told to the bus again.
    type Model: Clone + PartialEq + Send + Sync;
    /// An object that shows this.
    fn new(model: Self::Model) -> Self;
    /// Shows something else.
    fn show(&self, model: Self::Model);
}

/// The properties of an object as the bus sees them.
type Values = HashMap<String, OwnedVariant>;

/// Reads every property of an object.
async fn values<I: Interface>(conn: &Connection, path: &OwnedObjectPath) -> zbus::Result<Values> {
    let server = conn.object_server();
    let object = server.interface::<_, I>(path.clone()).await?;
    let guard = object.get().await;
    Ok(guard
        .get_all(server, conn, None, object.signal_emitter())
        .await?)
}

/// Tells the bus which properties differ from what it knew, in one signal.
async fn tell<I: Interface>(
    emitter: &SignalEmitter<'_>,
    before: &Values,
    now: &Values,
) -> zbus::Result<()> {
    let changed = now
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, value)| Ok((name.as_str(), Variant::try_from(value)?)))
        .collect::<zbus::Result<HashMap<_, _>>>()?;
    if changed.is_empty() {
        return Ok(());
    }
    Properties::properties_changed(emitter, I::name(), changed, (&[] as &[&str]).into()).await
}

/// One object on the bus and what the bus knows of it.
pub struct Object<I: Interface> {
    conn: Connection,
    path: OwnedObjectPath,
    known: Values,
    kind: std::marker::PhantomData<fn() -> I>,
}

impl<I: Interface> Object<I> {
    /// Puts an object on the bus.
    pub async fn add(conn: &Connection, path: OwnedObjectPath, object: I) -> zbus::Result<Self> {
        conn.object_server().at(path.clone(), object).await?;
        Self::there(conn, path).await
    }

    /// The same, unless one of this kind is there already.
    pub async fn add_new(
        conn: &Connection,
        path: OwnedObjectPath,
        object: I,
    ) -> zbus::Result<Option<Self>> {
        match conn.object_server().at(path.clone(), object).await? {
            None => Self::there(conn, path).await.map(Some),
            Some(_) => Ok(None),
        }
    }

    async fn there(conn: &Connection, path: OwnedObjectPath) -> zbus::Result<Self> {
        Ok(Self {
            known: values::<I>(conn, &path).await?,
            conn: conn.clone(),
            path,
            kind: std::marker::PhantomData,
        })
    }

    /// Changes it, and tells the bus what that changed.
    pub async fn update(&mut self, change: impl FnOnce(&I)) -> zbus::Result<()> {
        let server = self.conn.object_server();
        let object = server.interface::<_, I>(self.path.clone()).await?;
        change(&*object.get().await);
        let now = values::<I>(&self.conn, &self.path).await?;
        tell::<I>(object.signal_emitter(), &self.known, &now).await?;
        self.known = now;
        Ok(())
    }

    /// Takes it away.
    pub async fn remove(self) -> zbus::Result<()> {
        self.conn
            .object_server()
            .remove::<I, _>(self.path)
            .await
            .map(|_| ())
    }
}

/// All objects of one kind.
pub struct Set<I: Mirrors> {
    conn: Connection,
    objects: BTreeMap<String, (I::Model, Object<I>)>,
}

impl<I: Mirrors> Set<I> {
    /// None yet.
    pub fn new(conn: &Connection) -> Self {
        Self {
            conn: conn.clone(),
            objects: BTreeMap::new(),
        }
    }

    /// Makes the bus show exactly these, by path.
    pub async fn show(
        &mut self,
        wanted: impl IntoIterator<Item = (OwnedObjectPath, I::Model)>,
    ) -> zbus::Result<()> {
        let mut wanted: BTreeMap<String, (OwnedObjectPath, I::Model)> = wanted
            .into_iter()
            .map(|(path, model)| (path.to_string(), (path, model)))
            .collect();
        let gone: Vec<String> = self
            .objects
            .keys()
            .filter(|p| !wanted.contains_key(*p))
            .cloned()
            .collect();
        for path in gone {
            if let Some((_, object)) = self.objects.remove(&path) {
                object.remove().await?;
            }
        }
        for (key, (known, object)) in &mut self.objects {
            if let Some((_, model)) = wanted.remove(key)
                && *known != model
            {
                object.update(|o| o.show(model.clone())).await?;
                *known = model;
            }
        }
        for (key, (path, model)) in wanted {
            let object = Object::add(&self.conn, path, I::new(model.clone())).await?;
            self.objects.insert(key, (model, object));
        }
        Ok(())
    }
}
